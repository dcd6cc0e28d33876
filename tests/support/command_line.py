"""The command line with all of its commands, where `typer` finds it."""

from cli.commands import program

app = program()
