"""The port's methods for deleted jobs."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from darkroom.domain.deleting import DeletedFiles, Deletion
from darkroom.domain.names import sidecar_key
from darkroom.records.broken_rows import read_row, readable
from darkroom.records.supabase.functions import Part


class SupabaseDeleting(Part):
    """A part of `SupabaseRecords`."""

    async def deletion(self, job_id: UUID) -> Deletion | None:
        found = await self._call("deletion", job_id=str(job_id))
        return None if found is None else read_row(Deletion, found)

    async def begin_delete(self, job_id: UUID) -> Deletion:
        return read_row(Deletion, await self._call("begin_delete", job_id=str(job_id)))

    async def deleted_files(self, job_id: UUID, after: int, limit: int) -> tuple[DeletedFiles, int | None]:
        found = await self._call("deleted_files", job_id=str(job_id), after=after, limit=limit)
        pictures = found.pop("pictures")
        paths = [path for _, path in pictures if path]
        marks = [mark for path in paths if (mark := sidecar_key(path)) is not None]
        last = pictures[-1][0] if len(pictures) == limit else None
        return DeletedFiles(**found, paths=tuple(paths + marks)), last

    async def finish_delete(self, job_id: UUID) -> None:
        await self._call("finish_delete", job_id=str(job_id))

    async def unfinished_deletes(self, limit: int) -> Sequence[UUID]:
        return [UUID(job_id) for job_id in await self._call("unfinished_deletes", limit=limit)]

    async def ended_jobs(self, before: datetime, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[Deletion]:
        found = await self._call(
            "ended_jobs",
            before=before.isoformat(),
            after_at=None if after is None else after[0].isoformat(),
            after_id=None if after is None else str(after[1]),
            limit=limit,
        )
        return list(readable(found, partial(read_row, Deletion)))
