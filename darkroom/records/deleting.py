"""The records of deleted jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from darkroom.domain.deleting import DeletedFiles, Deletion


class DeleteRecords(Protocol):
    """What is deleted, and how far that has come."""

    async def deletion(self, job_id: UUID) -> Deletion | None:
        """What deleting a job would remove, or has removed; None without a row. Nothing is changed."""
        ...

    async def begin_delete(self, job_id: UUID) -> Deletion:
        """Delete all of an ended job but its files, numbers and money. From then on nobody is shown its pictures.

        Where that is not possible the answer says why, and nothing is changed.

        Raises:
            JobNotFound: no such row.
        """
        ...

    async def deleted_files(self, job_id: UUID, after: int, limit: int) -> tuple[DeletedFiles, int | None]:
        """Where files of a deleted job lie: of its pictures with an attach_id above `after`, a page of them; and the
        last of those ids, None when there are no more.

        Raises:
            JobNotFound: no such job was deleted.
        """
        ...

    async def finish_delete(self, job_id: UUID) -> None:
        """Note that the files of a deleted job are gone."""
        ...

    async def unfinished_deletes(self, limit: int) -> Sequence[UUID]:
        """Deleted jobs whose files may still be there, the oldest first."""
        ...

    async def ended_jobs(self, before: datetime, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[Deletion]:
        """What deleting jobs would remove that ended before a moment: a page of them, the oldest first, behind a place.

        Jobs that are deleted are left out, and so are those that cannot be because Darkroom did not make them.
        """
        ...
