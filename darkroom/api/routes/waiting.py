"""Responses that wait for something to happen to a job."""

from datetime import datetime
from time import monotonic
from uuid import UUID

from darkroom.api.allowances import Held
from darkroom.api.problems import Problem
from darkroom.api.services import Services
from darkroom.api.sign_in import Caller
from darkroom.api.standing import EVERY


async def until_ended(use: Services, caller: Caller, job_id: UUID, seconds: float) -> bool:
    """Wait for a job's end, so long at most; whether it has ended.

    Raises:
        Problem: 401, the caller's sign-in has ended meanwhile.
    """
    deadline = monotonic() + seconds
    async with use.standing.watched(caller) as watch, use.feeds.following(job_id) as feed:
        while not feed.ended and not feed.closed:
            left = deadline - monotonic()
            if left <= 0:
                break
            await feed.changed(feed.version, min(left, EVERY))
            watch.ensure()
        return feed.ended


async def waited(use: Services, caller: Caller, job_id: UUID, seconds: float) -> bool:
    """Wait for the end of a job that was just ordered; not at all for a caller who waits for as many as they may."""
    try:
        async with use.leases.held(Held.WAIT, caller):
            await until_ended(use, caller, job_id, seconds)
    except Problem as problem:
        if problem.status != 429:
            raise
        return False
    return True


async def until_changed(use: Services, caller: Caller, job_id: UUID, seconds: float) -> bool:
    """Wait until anything of a job changes, so long at most; whether it did. One that has ended is not waited for.

    Raises:
        Problem: 401, the caller's sign-in has ended meanwhile.
    """
    deadline = monotonic() + seconds
    async with use.standing.watched(caller) as watch, use.feeds.following(job_id) as feed:
        before = feed.version
        # A job may end between a client's last request and this one, and nothing would change after it.
        while not feed.ended:
            left = deadline - monotonic()
            if left <= 0:
                return False
            news = await feed.changed(before, min(left, EVERY))
            watch.ensure()
            if news:
                return True
        return True


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
