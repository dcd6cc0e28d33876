"""`python -m tests.support.supabase`: a migrated project until Ctrl-C, for work by hand.

python -m tests.support.supabase
# in another terminal, with the lines that it prints
export SUPABASE_URL=... SUPABASE_SERVICE_ROLE_KEY=...
"""

import signal
import sys
import tempfile
from pathlib import Path

from tests.support.supabase.project import new_secret, running_project
from tests.support.supabase.storage_server import running_storage


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    secret = new_secret()
    with (
        tempfile.TemporaryDirectory(prefix="darkroom-supabase-") as name,
        running_storage(Path(name) / "storage", jwt_secret=secret) as storage,
        running_project(Path(name), storage.url, jwt_secret=secret) as project,
    ):
        applied = project.migrate()
        sys.stdout.write(
            f"# {len(applied)} migrations applied; logs in {name}; Ctrl-C ends it\n"
            f"# psql '{project.database_uri}'\n"
            f"export SUPABASE_URL={project.url}\n"
            f"export SUPABASE_SERVICE_ROLE_KEY={project.service_role_key}\n"
        )
        sys.stdout.flush()
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
