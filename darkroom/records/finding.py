"""The records of jobs' names, and lists of the jobs that are found by them."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Protocol
from uuid import UUID

from darkroom.domain.finding import JobState
from darkroom.domain.jobs import JobRow
from darkroom.domain.snapshots import JobCursor, JobSummary


class FindRecords(Protocol):
    """What jobs are called, and which ones are found."""

    async def rename_job(self, job_id: UUID, name: str | None) -> None:
        """Give a job another name, or none.

        Raises:
            JobNotFound: no such row.
        """
        ...

    async def job_page(
        self,
        limit: int,
        *,
        statuses: Collection[JobState] = (),
        user_id: UUID | None = None,
        before: JobCursor | None = None,
        words: Sequence[str] = (),
        day: date | None = None,
    ) -> Sequence[JobSummary]:
        """A page of a list of jobs, newest first: those older than `before`.

        Only jobs in one of some states, of one user, created on a day (UTC), and with all of the words (lower case) in
        their names and prompts, or at the beginning of their ids.
        """
        ...

    async def found_jobs(
        self, limit: int, *, statuses: Collection[JobState] = (), words: Sequence[str] = (), day: date | None = None
    ) -> Sequence[JobRow]:
        """The same as whole rows, of all users."""
        ...

    async def jobs_beginning(self, prefix: str, limit: int) -> Sequence[JobRow]:
        """Jobs whose id, in lower case, begins like this."""
        ...
