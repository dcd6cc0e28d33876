"""What the routes work with: put together once a process, handed to each by `services(request)`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import time
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from darkroom.api.feeds import Feeds
from darkroom.api.job_feed import Surroundings
from darkroom.api.problems import Problem
from darkroom.api.public_urls import PublicUrls
from darkroom.api.root_path import prefix_of
from darkroom.api.sign_in import Caller, SignIn, presented
from darkroom.api.signed_urls import Addresses
from darkroom.api.standing import Standing
from darkroom.api.thumbnails import Thumbnails
from darkroom.bootstrap import Parts
from darkroom.client.connection import TemporalLink, configured_server
from darkroom.client.jobs import Client
from darkroom.client.workers import WorkerWatch
from darkroom.domain.errors import ServerNotReachable
from darkroom.domain.progress import Progress
from darkroom.domain.snapshots import JobSnapshot
from darkroom.embedded.address import embedded_address, job_page
from darkroom.signing import deployment_secret, derived


class Allowance:
    """How many changes each caller may ask for; in this process."""

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._window = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def spend(self, caller: Caller) -> None:
        """Count one change.

        Raises:
            Problem: 429, above the limit.
        """
        if await self._window.hit(self._limit, str(caller.user_id)):
            return
        stats = await self._window.get_window_stats(self._limit, str(caller.user_id))
        wait = max(1, round(stats.reset_time - time()))
        raise Problem(
            429,
            f"rate limit exceeded: {self._limit.amount} changes per minute; try again in {wait} s",
            retryable=True,
            headers={"Retry-After": str(wait)},
        )


@dataclass(frozen=True)
class Services:
    """The parts, and what the API adds to them."""

    parts: Parts
    temporal: TemporalLink
    sign_in: SignIn
    standing: Standing
    addresses: Addresses
    workers: WorkerWatch
    feeds: Feeds
    thumbnails: Thumbnails
    allowance: Allowance

    async def client(self) -> Client:
        """A client with a Temporal server.

        Raises:
            ServerNotReachable: no Temporal server answers.
        """
        return self.parts.client(await self.temporal.client(), self.workers)

    async def reading_client(self) -> Client:
        """A client, with a Temporal server if one answers."""
        try:
            return await self.client()
        except ServerNotReachable:
            return self.parts.client(None, self.workers)

    async def snapshot(self, job_id: UUID, caller: Caller) -> JobSnapshot:
        """A job without its pictures, if the caller may see it.

        Raises:
            Problem: 404, it is not there or not theirs.
        """
        snapshot = await self.parts.records.snapshot(job_id, None, 0)
        if snapshot is None or not caller.may_see(snapshot.user_id):
            raise Problem(404, f"there is no job {job_id}, or it is not yours")
        return snapshot

    async def progress(self, job_id: UUID) -> tuple[Progress, str]:
        """A job's progress, and its source."""
        reading = await (await self.reading_client()).progress(job_id)
        return reading.progress, reading.source

    async def close(self) -> None:
        """End every stream and every look: the server stops."""
        await self.feeds.close()
        await self.standing.close()
        await self.sign_in.close()
        await self.workers.close()

    def temporal_ui(self, job_id: UUID) -> str | None:
        """The job's page in the Temporal Web UI, where one is known."""
        return _temporal_ui(self.parts)(job_id)


def put_together(parts: Parts) -> Services:
    """The services over the parts."""
    settings = parts.settings
    addresses = Addresses(derived(deployment_secret(settings), "addresses"))
    temporal = TemporalLink(settings)
    workers = parts.worker_watch(temporal)
    stalled_after = timedelta(seconds=settings.stalled_after)
    return Services(
        parts=parts,
        temporal=temporal,
        sign_in=SignIn(settings, parts.records),
        standing=Standing(parts.records),
        addresses=addresses,
        workers=workers,
        feeds=Feeds(Surroundings(parts.records, _temporal_ui(parts), workers.latest, stalled_after)),
        thumbnails=Thumbnails(parts.storage, parts.pictures),
        allowance=Allowance(settings.api_changes_per_minute),
    )


def _temporal_ui(parts: Parts) -> Callable[[UUID], str | None]:
    config = configured_server() or {}
    namespace = str(config.get("namespace") or "default")

    def page(job_id: UUID) -> str | None:
        if parts.settings.temporal_ui_url is not None:
            return job_page(parts.settings.temporal_ui_url, job_id, namespace)
        server = embedded_address(parts.settings)
        return None if server is None else server.job_url(job_id)

    return page


def services(request: Request) -> Services:
    """The services of this process.

    Raises:
        Problem: 503, nobody has opened them.
    """
    found: Services | None = getattr(request.app.state, "services", None)
    if found is None:
        raise Problem(
            503,
            "the Darkroom API has not started: the lifespan of the application that serves it has not run. Mount it "
            "with darkroom.api.mount(), and let the server run lifespan events",
            code="not_open",
        )
    return found


def public_urls(request: Request, use: Annotated[Services, Depends(services)]) -> PublicUrls:
    """The URLs of this request's answer."""
    return PublicUrls(prefix_of(request.scope), use.addresses)


_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="A Supabase access token, or an API key from `darkroom keys create`.",
)
"""Only for the OpenAPI document: `SignIn` reads the header, and reports errors in more detail."""


async def signed_in(
    request: Request, use: Annotated[Services, Depends(services)], _documented: Annotated[object, Depends(_BEARER)]
) -> Caller:
    """The caller.

    Raises:
        Problem: 401.
    """
    caller = await use.sign_in.caller(presented(request))
    request.state.operator = caller.operator  # what goes wrong is said in an operator's words
    return caller


async def changing(
    caller: Annotated[Caller, Depends(signed_in)], use: Annotated[Services, Depends(services)]
) -> Caller:
    """The caller of a change, which counts towards the rate limit.

    Raises:
        Problem: 401, or 429 above the limit.
    """
    await use.allowance.spend(caller)
    return caller


Use = Annotated[Services, Depends(services)]
Urls = Annotated[PublicUrls, Depends(public_urls)]
SignedIn = Annotated[Caller, Depends(signed_in)]
Changing = Annotated[Caller, Depends(changing)]
