"""Responses that wait for something to happen to a job."""

from datetime import datetime
from time import monotonic
from uuid import UUID

from darkroom.api.services import Services


async def until_ended(use: Services, job_id: UUID, seconds: float) -> bool:
    """Wait for a job's end, so long at most; whether it has ended."""
    deadline = monotonic() + seconds
    async with use.feeds.following(job_id) as feed:
        while not feed.ended and not feed.closed:
            left = deadline - monotonic()
            if left <= 0 or not await feed.changed(feed.version, left):
                break
        return feed.ended


async def until_changed(use: Services, job_id: UUID, seconds: float) -> bool:
    """Wait until anything of a job changes, so long at most; whether it did. One that has ended is not waited for."""
    async with use.feeds.following(job_id) as feed:
        # A job may end between a client's last request and this one, and nothing would change after it.
        return feed.ended or await feed.changed(feed.version, seconds)


async def until_opened_again(use: Services, job_id: UUID, ended_at: datetime | None, seconds: float) -> None:
    """Wait until a restarted job runs, so long at most: the next reader must not get the end of the previous run.

    One that has ended again meanwhile has run.
    """
    deadline = monotonic() + seconds
    async with use.feeds.following(job_id) as feed:
        while feed.ended and feed.completed_at == ended_at and not feed.closed:
            left = deadline - monotonic()
            if left <= 0 or not await feed.changed(feed.version, left):
                break
