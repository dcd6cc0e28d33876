"""The way in and out of the process."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from temporalio.service import RPCError, RPCStatusCode
from typer.exceptions import TyperException

from cli.commands import program
from cli.invocation import COMMAND, installed, invoked_as
from cli.output import complain, tolerate_any_character
from cli.statuses import InputRejected, Status, status_of
from darkroom.client.temporal_faults import explained
from darkroom.collector import without_collection
from darkroom.domain.errors import DarkroomError

_COMPLETION = frozenset({"--install-completion", "--show-completion"})
_COMPLETE_VARIABLE = "_DARKROOM_COMPLETE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Errors that users can act on are one line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    tolerate_any_character((sys.stdout, sys.stderr))
    as_json = "--json" in given
    try:
        return _status(_run(given, own_process=arguments is None))
    except TyperException as error:
        if not str(error):
            return int(Status.WRONG_INPUT)  # without arguments, and the help is printed already
        return complain(_in_words(error), Status.WRONG_INPUT, as_json=as_json)
    except DarkroomError as error:
        return complain(str(error), status_of(error), as_json=as_json)
    except RPCError as error:
        unreachable = error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)
        status = Status.NO_SERVER if unreachable else Status.NOT_NOW
        return complain(f"the Temporal server returned an error: {explained(error)}", status, as_json=as_json)


def _run(given: list[str], *, own_process: bool) -> object:
    name = invoked_as()
    if _COMPLETION.intersection(given[:1]):
        if not installed():
            raise InputRejected(given[0], "needs the installed command: run `pip install .`, then use `darkroom`")
        name = COMMAND  # the name that the shell looks for, whatever path was typed
    with without_collection(own_process=own_process):
        app = program(given)
    return app(given, prog_name=name, complete_var=_COMPLETE_VARIABLE, standalone_mode=False)


def _in_words(error: TyperException) -> str:
    """What is wrong with the command line; a mistyped option reads like a mistyped command."""
    option, close = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    if not (option and close):
        return error.format_message()
    return f"No such option {option!r}. Did you mean {', '.join(repr(one) for one in close)}?"


def _status(returned: object) -> int:
    return returned if isinstance(returned, int) else int(Status.DONE)


def leave(status: int) -> None:
    """End the process with this status and nothing else.

    A process that used a Temporal client aborts now and then while the interpreter shuts down
    (sdk-python #300), which would turn success into status 134.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it is gone
            stream.flush()
    os._exit(status)
