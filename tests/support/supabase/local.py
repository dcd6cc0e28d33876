"""A whole project on this computer: PostgreSQL, PostgREST, a gateway and a Storage server."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.supabase.project import Project, new_secret, running_project
from tests.support.supabase.storage_faults import Faults
from tests.support.supabase.storage_server import StorageServer, running_storage


@dataclass(frozen=True)
class LocalSupabase:
    """What a test breaks, counts at and looks into."""

    project: Project
    storage: StorageServer

    @property
    def environment(self) -> Mapping[str, str]:
        """How processes find it."""
        return {
            "SUPABASE_URL": self.project.url,
            "SUPABASE_SERVICE_ROLE_KEY": self.project.service_role_key,
        }

    def make_whole(self) -> None:
        """Start what a test left stopped, empty the tables, let nothing go wrong, count from 0."""
        self.storage.faults = Faults()
        self.storage.calls.clear()
        if not self.project.postgres.running:
            self.project.start_postgres(wait=False)
        if not self.project.postgrest.running:
            self.project.start_postgrest()
        self.project.reload_schema()
        self.project.reset()
        self.project.reset_calls()


@contextmanager
def running_supabase(folder: Path, *, migrated: bool = True) -> Iterator[LocalSupabase]:
    """A new project while the context lasts; logs and pictures are in the folder."""
    secret = new_secret()
    with (
        running_storage(folder / "storage", jwt_secret=secret) as storage,
        running_project(folder, storage.url, jwt_secret=secret) as project,
    ):
        if migrated:
            project.migrate()
        yield LocalSupabase(project, storage)
