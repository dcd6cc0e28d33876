"""Records that a benchmark keeps in a Supabase project of its own: real PostgreSQL, PostgREST and a gateway."""

from darkroom.domain.model import Value
from darkroom.records import Records
from darkroom.records.supabase import SupabaseRecords
from darkroom.supabase import open_supabase


class ProjectKey(Value):
    """Where a project is, and the key that may do everything there."""

    url: str
    service_role_key: str


async def records_in(project: ProjectKey | None) -> Records | None:
    """The records of a project; None leaves them where the settings keep them."""
    if project is None:
        return None
    return SupabaseRecords(await open_supabase(project.url, project.service_role_key))
