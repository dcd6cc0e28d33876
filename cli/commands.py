"""The commands, put together. The module of each is imported when it is asked for: many take half a second."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from cli.invocation import COMMAND
from cli.output import ACCENT
from cli.statuses import Status, epilog, paragraphs
from darkroom._version import __version__

_STYLES = {
    "bold": ("OPTION", "SWITCH", "NEGATIVE_OPTION", "NEGATIVE_SWITCH", "COMMANDS_TABLE_FIRST_COLUMN"),
    "": ("TYPES", "USAGE", "OPTION_ENVVAR", "HELPTEXT"),
    ACCENT: ("REQUIRED_SHORT", "REQUIRED_LONG"),
}
_HELP = frozenset({"-h", "--help"})
_ORDER, _INSPECT, _CONTROL, _DEPLOY = "Order", "Inspect", "Control", "Deploy"
_DONE, _NOT_ALL, _WRONG, _NO_SERVER, _NOT_FOUND, _NOT_NOW, _INTERRUPTED = Status
_REQUEST = (_DONE, _WRONG, _NO_SERVER, _NOT_FOUND, _NOT_NOW)

_COMMANDS: dict[str, Callable[[typer.Typer], None]] = {}
"""By the name of a command, what adds it to the program, in the order of the help."""
_GROUPS: set[str] = set()


def _add(panel: str, function: str, example: str, *statuses: Status, **meanings: str) -> None:
    """Make a function, `module.name`, the command that its example begins with."""
    name = example.split(maxsplit=1)[0]

    def add(app: typer.Typer) -> None:
        shown = _found(function)
        end = epilog(example, *statuses, **meanings)
        app.command(name, help=paragraphs(shown), rich_help_panel=panel, epilog=end)(shown)

    _COMMANDS[name] = add


def _add_group(panel: str, commands: str, name: str) -> None:
    """Make a program of commands, `module.name`, a command with commands of its own; without one, it shows its help."""

    def add(app: typer.Typer) -> None:
        app.add_typer(_found(commands), name=name, rich_help_panel=panel)

    _COMMANDS[name] = add
    _GROUPS.add(name)


def _hidden(app: typer.Typer, name: str, function: str) -> None:
    """Add another name of a command, which the help does not list."""
    shown = _found(function)
    app.command(name, hidden=True, help=paragraphs(shown))(shown)


def _style_help() -> None:
    """Set the colours of the help, which takes a tenth of a second; no other output needs them."""
    from typer import rich_utils  # noqa: PLC0415

    for style, names in _STYLES.items():
        for name in names:
            setattr(rich_utils, f"STYLE_{name}", style)


def _found(path: str) -> Any:
    module, _, name = path.partition(".")
    return getattr(import_module(f"cli.{module}"), name)


_add(
    _ORDER,
    "demo.demo",
    "demo",
    *(_DONE, _NOT_ALL, _WRONG, _NOT_NOW, _INTERRUPTED),
    not_now="a stack is already running in this folder",
)
_add(
    _ORDER,
    "stack.up",
    "up --port 7300 --ui-port 8300 --api-port 8500",
    *(_DONE, _WRONG, _NO_SERVER, _NOT_NOW, _INTERRUPTED),
    done="stopped by Ctrl-C or SIGTERM",
    not_now="a port is in use, or a stack is already running in this folder",
    interrupted="exited immediately",
)
_add(
    _ORDER,
    "orders.submit",
    "submit order.yaml --reference 0=lemon.jpg --watch",
    *(_DONE, _NOT_ALL, _WRONG, _NO_SERVER, _NOT_NOW, _INTERRUPTED),
    done="started; with --watch, delivered in full",
    not_all="with --watch: failed, cancelled or short",
    wrong_input="the order is rejected",
    not_now="the balance does not cover the order",
)
_add(
    _INSPECT,
    "jobs.watch",
    "watch 3f2a1c",
    *(_DONE, _NOT_ALL, _WRONG, _NOT_FOUND, _INTERRUPTED),
    done="delivered in full",
    not_all="failed, cancelled or short",
    interrupted="stopped watching",
)
_add(_INSPECT, "jobs.status", "status 3f2a1c --json", _DONE, _WRONG, _NOT_FOUND)
_add(_INSPECT, "jobs.list_jobs", "list --status short --search 'red chair'", _DONE, _WRONG)
_COMMANDS["jobs"] = lambda app: _hidden(app, "jobs", "jobs.list_jobs")
_add(
    _INSPECT, "results.receipt", "receipt 3f2a1c", _DONE, _WRONG, _NOT_FOUND, _NOT_NOW, not_now="the job has not ended"
)
_add(
    _INSPECT,
    "downloads.download",
    "download 3f2a1c pictures/",
    *(_DONE, _NOT_ALL, _WRONG, _NOT_FOUND, _NOT_NOW),
    not_all="files are missing from storage",
    not_now="the job was deleted, or its storage has no addresses",
)
_add(_INSPECT, "doctor.doctor", "doctor", _DONE, _NOT_ALL, _WRONG, not_all="a check failed")
_add(
    _INSPECT,
    "prove.prove",
    "prove --runs 3 --short",
    *(_DONE, _NOT_ALL, _WRONG, _INTERRUPTED),
    done="everything held",
    not_all="a violation was found",
    wrong_input="invalid input, or this machine cannot play a proof",
)
_add(_INSPECT, "statistics.stats", "stats --days 30", _DONE, _WRONG)
_add(_INSPECT, "results.audit", "audit --json", _DONE, _NOT_ALL, _WRONG, not_all="it found a problem")
_add(_CONTROL, "jobs.cancel", "cancel 3f2a1c --reason 'wrong prompt'", *_REQUEST, done="accepted, or nothing to cancel")
_add(_CONTROL, "jobs.pause", "pause 3f2a1c --reason 'overnight'", *_REQUEST, done="accepted, or nothing to pause")
_add(_CONTROL, "jobs.resume", "resume 3f2a1c", *_REQUEST, done="accepted, or nothing to resume")
_add(
    _CONTROL,
    "jobs.restart",
    "restart 3f2a1c --watch",
    *(_DONE, _NOT_ALL, _WRONG, _NO_SERVER, _NOT_FOUND, _NOT_NOW, _INTERRUPTED),
    not_all="with --watch: failed, cancelled or short again",
    not_now="the job is running, or nothing is missing",
)
_add(
    _CONTROL,
    "deleting.delete",
    "delete 3f2a1c",
    *(_DONE, _WRONG, _NOT_FOUND, _NOT_NOW),
    done="deleted, or left as it was",
    not_now="the job has not ended, or its pictures are in use",
)
_add(
    _CONTROL,
    "deleting.purge",
    "purge --older-than 90d --dry-run",
    *(_DONE, _NOT_ALL, _WRONG),
    not_all="some could not be deleted any more",
)
_add(
    _CONTROL,
    "naming.rename",
    "rename 3f2a1c 'Red chairs'",
    *(_DONE, _WRONG, _NOT_FOUND, _NOT_NOW),
    not_now="the job was deleted",
)
_add_group(_CONTROL, "money.commands", "credits")
_add_group(_CONTROL, "keys.commands", "keys")
_add_group(_CONTROL, "webhooks.commands", "webhooks")
_add(
    _DEPLOY,
    "deployment.worker",
    "worker --role generate --role publish",
    *(_DONE, _WRONG, _NO_SERVER, _INTERRUPTED),
    done="stopped by Ctrl-C or SIGTERM",
    interrupted="exited immediately",
)
_add(
    _DEPLOY,
    "deployment.api",
    "api",
    *(_DONE, _WRONG, _NOT_NOW),
    done="stopped by Ctrl-C or SIGTERM",
    not_now="the port is in use",
)
_add(_DEPLOY, "deployment.migrations", "migrations supabase/migrations", _DONE, _WRONG)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"{COMMAND} {__version__}")
        raise typer.Exit


def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself; its help text is given above."""


def program(given: Sequence[str] = ()) -> typer.Typer:
    """The command line.

    Args:
        given: the arguments. Where they begin with no command, all commands are there, as the help needs them.
    """
    name = given[0] if given else None
    if name not in _COMMANDS or name in _GROUPS or _HELP.intersection(given):
        _style_help()
    app = typer.Typer(
        name=COMMAND,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=(
            "Order pictures and get exactly the number ordered. Runs on Temporal.\n\n"
            "Start with `demo`, or run `up` here and `submit` in another terminal. Settings come from the "
            "environment or a .env file; data is kept in DARKROOM_HOME (.darkroom). JOB is a job's UUID, or at "
            "least its first 6 characters. Errors are one line on standard error."
        ),
        epilog=(
            "[bold]Exit status[/bold]  0 success · 1 not everything was delivered, or audit or doctor found a problem "
            "· 2 invalid input · 3 no Temporal server · 4 not found · 5 not possible now · 130 interrupted"
        ),
    )
    app.callback()(root)
    for add in [_COMMANDS[name]] if name in _COMMANDS else _COMMANDS.values():
        add(app)
    return app
