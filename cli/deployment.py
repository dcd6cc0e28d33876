"""What a deployment runs and applies: a worker, the API alone, the migrations."""

from pathlib import Path
from typing import Annotated

import typer

from cli import arguments
from cli.output import Output, plural
from cli.session import opened_settings, run
from cli.statuses import InputRejected, NotInRecords
from worker import Role, serve

MIGRATIONS = Path(__file__).parents[1] / "supabase" / "migrations"

_ROLES = Annotated[
    list[Role] | None,
    typer.Option("--role", help="What to serve. Repeatable; everything when left out.", show_default=False),
]
_DIR = Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the SQL files; created if missing.")]


def worker(role: _ROLES = None) -> None:
    """Run a worker until Ctrl-C or SIGTERM, on the Temporal server of TEMPORAL_ADDRESS or of `up`.

    The first signal takes no new work and waits for what is in progress; on the second it leaves at once,
    and Temporal gives its work to another worker. Run as many as you like.
    """
    run(serve(opened_settings(), role or [Role.ALL]))


def api() -> None:
    """Serve the page and the HTTP API until Ctrl-C or SIGTERM, without a worker or a Temporal server.

    API_HOST and API_PORT say where; `up` serves the same beside everything else.
    """
    from darkroom.api.server import serve as serve_api  # noqa: PLC0415 - half a second that no other command needs

    run(serve_api(opened_settings()))


def migrations(folder: _DIR, *, as_json: arguments.AsJson = False) -> None:
    """Write the SQL migrations for Supabase into DIR, to be applied in the order of their names.

    Files that are there already with the same content are left alone. If one has another content, nothing
    is written.
    """
    output = Output(as_json=as_json)
    files = {file.name: file.read_bytes() for file in sorted(MIGRATIONS.glob("*.sql"))}
    if not files:
        raise NotInRecords(f"{MIGRATIONS} has no SQL files: this installation comes without the migrations")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = {name: (folder / name).read_bytes() for name in files if (folder / name).exists()}
        different = [name for name in present if present[name] != files[name]]
        if different:
            more = f" and {len(different) - 1} more" if len(different) > 1 else ""
            raise InputRejected("DIR", f"{folder / different[0]}{more} has other content; give another folder")
        for name in sorted(files.keys() - present.keys()):
            (folder / name).write_bytes(files[name])
    except OSError as error:
        raise InputRejected("DIR", f"{folder} cannot be written: {error.strerror or error}") from None
    written = len(files) - len(present)
    already = f"; {len(present):,} were there already" if present else ""
    output.say(f"{plural(written, 'migration')} written to {folder}{already}")
    output.result({"folder": str(folder), "written": written, "skipped": len(present)})
