"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cli.statuses import InputRejected
from darkroom.settings import Settings

AsJson = Annotated[
    bool, typer.Option("--json", help="Write one JSON document to standard output; messages go to standard error.")
]
Job = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's UUID, or at least its first 6 characters.", show_default=False)
]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="The reason, stored with the job.", show_default=False)
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow the job until it ends.")]
Folder = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help="The folder to write the pictures to; created if missing.", show_default=False),
]


def user_id(settings: Settings, given: str) -> UUID:
    """A user of the command line; `local` is the one user of the embedded default.

    Raises:
        InputRejected: it is not a UUID.
    """
    if given == "local":
        if settings.local_user is None:
            raise InputRejected("USER", "there is no local user on Supabase: give a user's UUID")
        return settings.local_user
    return uuid("USER", given)


def uuid(argument: str, given: str) -> UUID:
    """A UUID.

    Raises:
        InputRejected: it is not one.
    """
    try:
        return UUID(given)
    except ValueError:
        raise InputRejected(argument, f"'{given}' is not a UUID") from None
