"""Exit statuses, the same for every command, and which error ends in which."""

import inspect
from collections.abc import Callable
from enum import IntEnum

from rich.markup import escape

from cli.invocation import command
from darkroom.domain.errors import (
    DarkroomError,
    ExportRejected,
    JobNotFound,
    OrderRejected,
    ProofImpossible,
    ServerNotReachable,
    SettingRejected,
)


class Status(IntEnum):
    """How a command ended; each command's --help says what its own statuses mean."""

    DONE = 0
    NOT_ALL = 1
    """The command worked, but the result is incomplete or has problems: a short job, an audit finding."""
    WRONG_INPUT = 2
    NO_SERVER = 3
    NOT_FOUND = 4
    NOT_NOW = 5
    INTERRUPTED = 130


class InputRejected(DarkroomError):
    """An argument of the command line is wrong."""

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(f"{argument}: {reason}")


class Interrupted(DarkroomError):
    """Ctrl-C ended a command that only reads."""


class NotInRecords(DarkroomError):
    """Something other than a job does not exist in the records."""


def status_of(error: DarkroomError) -> Status:
    """The exit status of an error; one without a status of its own is not possible now."""
    match error:
        case OrderRejected() | ExportRejected() | SettingRejected() | InputRejected() | ProofImpossible():
            return Status.WRONG_INPUT
        case ServerNotReachable():
            return Status.NO_SERVER
        case Interrupted():
            return Status.INTERRUPTED
        case JobNotFound() | NotInRecords():
            return Status.NOT_FOUND
        case _:
            return Status.NOT_NOW


_MEANINGS = {
    Status.DONE: "success",
    Status.NOT_ALL: "not everything was delivered",
    Status.WRONG_INPUT: "invalid input",
    Status.NO_SERVER: "no Temporal server",
    Status.NOT_FOUND: "no such job",
    Status.NOT_NOW: "not possible now",
    Status.INTERRUPTED: "interrupted",
}


def paragraphs(command: Callable[..., None]) -> str:
    """A command's docstring with each paragraph on one line, so that --help wraps it itself."""
    text = inspect.cleandoc(command.__doc__ or "")
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def epilog(example: str, *statuses: Status, **meanings: str) -> str:
    """The end of a command's --help: an example, and its exit statuses.

    Args:
        example: what to type after the program's name.
        statuses: those it can end with.
        meanings: the command's own meaning of a status, by its name in lower case.
    """
    listed = [f"{status:d} {meanings.get(status.name.lower(), _MEANINGS[status])}" for status in statuses]
    return f"[bold]Example[/bold]  {escape(command(example))}\n\n[bold]Exit status[/bold]  {' · '.join(listed)}"
