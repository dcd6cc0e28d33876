"""Records that a benchmark keeps in a Supabase project of its own: real PostgreSQL, PostgREST and a gateway."""

from darkroom.domain.model import Value
from darkroom.records import Records


class ProjectKey(Value):
    """Where a project is, and the key that may do everything there."""

    url: str
    service_role_key: str


async def records_in(project: ProjectKey | None) -> Records | None:
    """The records of a project; None leaves them where the settings keep them."""
    if project is None:
        return None
    # As in the application: what keeps everything in a folder does not load Supabase's client, which takes 18 MB.
    from darkroom.records.supabase import SupabaseRecords  # noqa: PLC0415
    from darkroom.supabase import open_supabase  # noqa: PLC0415

    return SupabaseRecords(await open_supabase(project.url, project.service_role_key))
