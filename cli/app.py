"""The commands, put together, and the way in and out of the process."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated

import typer
from temporalio.service import RPCError, RPCStatusCode
from typer import rich_utils
from typer.exceptions import TyperException

from cli import (
    deleting,
    demo,
    deployment,
    doctor,
    downloads,
    jobs,
    keys,
    money,
    naming,
    orders,
    prove,
    results,
    stack,
    statistics,
    webhooks,
)
from cli.invocation import COMMAND, installed, invoked_as
from cli.output import ACCENT, complain, tolerate_any_character
from cli.statuses import InputRejected, Status, epilog, paragraphs, status_of
from darkroom._version import __version__
from darkroom.client.temporal_faults import explained
from darkroom.domain.errors import DarkroomError

for _style in ("OPTION", "SWITCH", "NEGATIVE_OPTION", "NEGATIVE_SWITCH", "COMMANDS_TABLE_FIRST_COLUMN"):
    setattr(rich_utils, f"STYLE_{_style}", "bold")
for _style in ("TYPES", "USAGE", "OPTION_ENVVAR", "HELPTEXT"):
    setattr(rich_utils, f"STYLE_{_style}", "")
for _style in ("REQUIRED_SHORT", "REQUIRED_LONG"):
    setattr(rich_utils, f"STYLE_{_style}", ACCENT)

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
        "[bold]Exit status[/bold]  0 success · 1 not everything was delivered, or audit or doctor found a problem · "
        "2 invalid input · 3 no Temporal server · 4 not found · 5 not possible now · 130 interrupted"
    ),
)

_ORDER, _INSPECT, _CONTROL, _DEPLOY = "Order", "Inspect", "Control", "Deploy"
_DONE, _NOT_ALL, _WRONG, _NO_SERVER, _NOT_FOUND, _NOT_NOW, _INTERRUPTED = Status
_COMPLETION = frozenset({"--install-completion", "--show-completion"})
_COMPLETE_VARIABLE = "_DARKROOM_COMPLETE"
_REQUEST = (_DONE, _WRONG, _NO_SERVER, _NOT_FOUND, _NOT_NOW)


def _add(panel: str, command: Callable[..., None], example: str, *statuses: Status, **meanings: str) -> None:
    """Make a function the command that its example begins with."""
    name = example.split(maxsplit=1)[0]
    app.command(name, help=paragraphs(command), rich_help_panel=panel, epilog=epilog(example, *statuses, **meanings))(
        command
    )


_add(
    _ORDER,
    demo.demo,
    "demo",
    *(_DONE, _NOT_ALL, _WRONG, _NOT_NOW, _INTERRUPTED),
    not_now="a stack is already running in this folder",
)
_add(
    _ORDER,
    stack.up,
    "up --port 7300 --ui-port 8300 --api-port 8500",
    *(_DONE, _WRONG, _NO_SERVER, _NOT_NOW, _INTERRUPTED),
    done="stopped by Ctrl-C or SIGTERM",
    not_now="a port is in use, or a stack is already running in this folder",
    interrupted="exited immediately",
)
_add(
    _ORDER,
    orders.submit,
    "submit order.yaml --reference 0=lemon.jpg --watch",
    *(_DONE, _NOT_ALL, _WRONG, _NO_SERVER, _NOT_NOW, _INTERRUPTED),
    done="started; with --watch, delivered in full",
    not_all="with --watch: failed, cancelled or short",
    wrong_input="the order is rejected",
    not_now="the balance does not cover the order",
)
_add(
    _INSPECT,
    jobs.watch,
    "watch 3f2a1c",
    *(_DONE, _NOT_ALL, _WRONG, _NOT_FOUND, _INTERRUPTED),
    done="delivered in full",
    not_all="failed, cancelled or short",
    interrupted="stopped watching",
)
_add(_INSPECT, jobs.status, "status 3f2a1c --json", _DONE, _WRONG, _NOT_FOUND)
_add(_INSPECT, jobs.list_jobs, "list --status short --search 'red chair'", _DONE, _WRONG)
app.command("jobs", hidden=True, help=paragraphs(jobs.list_jobs))(jobs.list_jobs)
_add(_INSPECT, results.receipt, "receipt 3f2a1c", _DONE, _WRONG, _NOT_FOUND, _NOT_NOW, not_now="the job has not ended")
_add(
    _INSPECT,
    downloads.download,
    "download 3f2a1c pictures/",
    *(_DONE, _NOT_ALL, _WRONG, _NOT_FOUND),
    not_all="files are missing from storage",
)
_add(_INSPECT, doctor.doctor, "doctor", _DONE, _NOT_ALL, _WRONG, not_all="a check failed")
_add(
    _INSPECT,
    prove.prove,
    "prove --runs 3 --short",
    *(_DONE, _NOT_ALL, _WRONG, _INTERRUPTED),
    done="everything held",
    not_all="a violation was found",
    wrong_input="invalid input, or this machine cannot play a proof",
)
_add(_INSPECT, statistics.stats, "stats --days 30", _DONE, _WRONG)
_add(_INSPECT, results.audit, "audit --json", _DONE, _NOT_ALL, _WRONG, not_all="it found a problem")
_add(_CONTROL, jobs.cancel, "cancel 3f2a1c --reason 'wrong prompt'", *_REQUEST, done="accepted, or nothing to cancel")
_add(_CONTROL, jobs.pause, "pause 3f2a1c --reason 'overnight'", *_REQUEST, done="accepted, or nothing to pause")
_add(_CONTROL, jobs.resume, "resume 3f2a1c", *_REQUEST, done="accepted, or nothing to resume")
_add(
    _CONTROL,
    jobs.restart,
    "restart 3f2a1c --watch",
    *(_DONE, _NOT_ALL, _WRONG, _NO_SERVER, _NOT_FOUND, _NOT_NOW, _INTERRUPTED),
    not_all="with --watch: failed, cancelled or short again",
    not_now="the job is running, or nothing is missing",
)
_add(
    _CONTROL,
    deleting.delete,
    "delete 3f2a1c",
    *(_DONE, _WRONG, _NOT_FOUND, _NOT_NOW),
    done="deleted, or left as it was",
    not_now="the job has not ended, or its pictures are in use",
)
_add(
    _CONTROL,
    deleting.purge,
    "purge --older-than 90d --dry-run",
    *(_DONE, _NOT_ALL, _WRONG),
    not_all="some could not be deleted any more",
)
_add(_CONTROL, naming.rename, "rename 3f2a1c 'Red chairs'", _DONE, _WRONG, _NOT_FOUND)
app.add_typer(money.commands, name="credits", rich_help_panel=_CONTROL)
app.add_typer(keys.commands, name="keys", rich_help_panel=_CONTROL)
app.add_typer(webhooks.commands, name="webhooks", rich_help_panel=_CONTROL)
_add(
    _DEPLOY,
    deployment.worker,
    "worker --role generate --role publish",
    *(_DONE, _WRONG, _NO_SERVER, _INTERRUPTED),
    done="stopped by Ctrl-C or SIGTERM",
    interrupted="exited immediately",
)
_add(
    _DEPLOY,
    deployment.api,
    "api",
    *(_DONE, _WRONG, _NOT_NOW),
    done="stopped by Ctrl-C or SIGTERM",
    not_now="the port is in use",
)
_add(_DEPLOY, deployment.migrations, "migrations supabase/migrations", _DONE, _WRONG)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"{COMMAND} {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself; its help text is given above."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Errors that users can act on are one line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    tolerate_any_character((sys.stdout, sys.stderr))
    as_json = "--json" in given
    try:
        return _status(_run(given))
    except TyperException as error:
        # Without arguments, the help is printed already.
        return complain(_in_words(error), _WRONG, as_json=as_json) if str(error) else int(_WRONG)
    except DarkroomError as error:
        return complain(str(error), status_of(error), as_json=as_json)
    except RPCError as error:
        unreachable = error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)
        status = _NO_SERVER if unreachable else _NOT_NOW
        return complain(f"the Temporal server returned an error: {explained(error)}", status, as_json=as_json)


def _run(given: list[str]) -> object:
    name = invoked_as()
    if _COMPLETION.intersection(given[:1]):
        if not installed():
            raise InputRejected(given[0], "needs the installed command: run `pip install .`, then use `darkroom`")
        name = COMMAND  # the name that the shell looks for, whatever path was typed
    return app(given, prog_name=name, complete_var=_COMPLETE_VARIABLE, standalone_mode=False)


def _in_words(error: TyperException) -> str:
    """What is wrong with the command line; a mistyped option reads like a mistyped command."""
    option, close = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    if not (option and close):
        return error.format_message()
    return f"No such option {option!r}. Did you mean {', '.join(repr(one) for one in close)}?"


def _status(returned: object) -> int:
    return returned if isinstance(returned, int) else int(_DONE)


def leave(status: int) -> None:
    """End the process with this status and nothing else.

    A process that used a Temporal client aborts now and then while the interpreter shuts down
    (sdk-python #300), which would turn success into status 134.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it is gone
            stream.flush()
    os._exit(status)
