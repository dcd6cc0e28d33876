"""Commands for a deployment: a worker, the API alone, the migrations."""

from pathlib import Path
from typing import Annotated

import typer

from cli import arguments
from cli.output import Output, plural
from cli.statuses import InputRejected, NotInRecords
from cli.working import opened_settings, run
from worker import Role, serve

MIGRATIONS = Path(__file__).parents[1] / "supabase" / "migrations"

_ROLES = Annotated[
    list[Role] | None,
    typer.Option("--role", help="The role to serve. Repeatable; all roles by default.", show_default=False),
]
_DIR = Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write the SQL files to; created if missing.")]


def worker(role: _ROLES = None) -> None:
    """Run a worker until Ctrl-C or SIGTERM, on the Temporal server at TEMPORAL_ADDRESS or started by `up`.

    The first signal stops new work and waits for what is in progress; the second exits immediately, and
    Temporal gives the work to another worker. Run as many workers as you like.
    """
    run(serve(opened_settings(), role or [Role.ALL]))


def api() -> None:
    """Serve the page and the HTTP API until Ctrl-C or SIGTERM, without a worker or a Temporal server.

    Listens on API_HOST and API_PORT. `up` serves the same along with everything else.
    """
    from darkroom.api.server import serve as serve_api  # noqa: PLC0415 - half a second that no other command needs

    run(serve_api(opened_settings()))


def migrations(folder: _DIR, *, as_json: arguments.AsJson = False) -> None:
    """Write the SQL migrations for Supabase to DIR, to be applied in the order of their names.

    Existing files with the same content are left alone. If one has different content, nothing is written.
    """
    output = Output(as_json=as_json)
    files = {file.name: file.read_bytes() for file in sorted(MIGRATIONS.glob("*.sql"))}
    if not files:
        raise NotInRecords(f"{MIGRATIONS} has no SQL files: install Darkroom again, with its migrations")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = {name: (folder / name).read_bytes() for name in files if (folder / name).exists()}
        different = [name for name in present if present[name] != files[name]]
        if different:
            more = f" and {len(different) - 1} more" if len(different) > 1 else ""
            raise InputRejected("DIR", f"{folder / different[0]}{more} has different content; give another folder")
        for name in sorted(files.keys() - present.keys()):
            (folder / name).write_bytes(files[name])
    except OSError as error:
        raise InputRejected("DIR", f"{folder} cannot be written: {error.strerror or error}") from None
    written = len(files) - len(present)
    already = f"; {len(present):,} already there" if present else ""
    output.say(f"{plural(written, 'migration')} written to {folder}{already}")
    output.result({"folder": str(folder), "written": written, "skipped": len(present)})
