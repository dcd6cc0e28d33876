"""How the program was started, so that the commands it tells people to type run as pasted.

The library knows nothing of command lines: its messages name a command in backticks, as `darkroom list`. Whatever the
command line prints goes through `as_started`, which puts what the user typed in the place of `darkroom`.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

COMMAND = "darkroom"

# SQL functions, and rows that they and earlier versions wrote, know the command by its first name.
_HINT = re.compile(r"`(?:darkroom|starter\.py) (?=[\w-])")


def program(argv: Sequence[str], started_with: Sequence[str]) -> str:
    """What was typed before the arguments: `darkroom`, `.venv/bin/darkroom`, `python starter.py`.

    Args:
        argv: as in `sys.argv`.
        started_with: as in `sys.orig_argv`.
    """
    script = Path(argv[0])
    if script.name == COMMAND:
        # The system passes on the path at which it found the command, even if only its name was typed.
        found = shutil.which(COMMAND)
        return COMMAND if found and Path(found).absolute() == script.absolute() else shlex.quote(argv[0])
    if script.name == "starter.py" or script.parts[-2:] == (COMMAND, "__main__.py"):
        return shlex.join(started_with[: len(started_with) - len(argv) + 1])
    return COMMAND  # another program runs our commands: a test, say


def installed() -> bool:
    """Whether the installed command was started, the one that shells complete."""
    return Path(sys.argv[0]).name == COMMAND


def invoked_as() -> str:
    """What this process was started as."""
    return program(sys.argv, sys.orig_argv)


def command(arguments: str) -> str:
    """A command line of ours, with these arguments, to be pasted."""
    return f"{invoked_as()} {arguments}"


def as_started(text: str) -> str:
    """The text, with the commands in backticks as this user types them."""
    return _HINT.sub(lambda _: f"`{command('')}", text)
