"""What the routes work with: put together once a process, handed to each by `services(request)`."""

from collections.abc import Coroutine
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage

from darkroom.api.allowances import Allowance, Leases
from darkroom.api.connections import customer_of
from darkroom.api.feeds import Feeds
from darkroom.api.job_feed import Surroundings
from darkroom.api.problems import Problem
from darkroom.api.public_urls import PublicUrls
from darkroom.api.quotas import Quotas
from darkroom.api.root_path import prefix_of
from darkroom.api.shapes import JobView
from darkroom.api.shared_readings import SharedReadings
from darkroom.api.sign_in import Caller, Presented, SignIn, presented
from darkroom.api.signed_urls import Addresses
from darkroom.api.standing import Standing
from darkroom.api.temporal_pages import temporal_pages
from darkroom.api.thumbnails import Thumbnails
from darkroom.api.turns import belongs_to
from darkroom.bootstrap import Parts
from darkroom.client.connection import TemporalLink
from darkroom.client.jobs import Client
from darkroom.client.workers import WorkerWatch
from darkroom.counting import Counting
from darkroom.counting.sqlite import SqliteCounters
from darkroom.domain.errors import ServerNotReachable
from darkroom.domain.jobs import JobRow
from darkroom.domain.progress import Progress
from darkroom.domain.snapshots import JobSnapshot
from darkroom.fair_queue import FairQueue, work_for
from darkroom.signing import deployment_secret, derived

T = TypeVar("T")

DOCUMENTS_AT_ONCE = 1
"""Large bodies that are worked on at the same time: in threads, which share one interpreter with all requests."""


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
    views: SharedReadings[JobView]
    thumbnails: Thumbnails
    counting: Counting
    changes: Allowance
    failed_keys: Allowance
    leases: Leases
    quotas: Quotas
    documents: FairQueue
    """Large bodies take turns to be read: each takes many times its size in memory while it is."""

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

    async def job(self, job_id: UUID, caller: Caller) -> JobRow:
        """A job's row, if the caller may see it; its stages may take a thousand times as long to read.

        Raises:
            Problem: 404, it is not there or not theirs.
        """
        row = await self.parts.records.job(job_id)
        if row is None or not caller.may_see(row.user_id):
            raise _no_such_job(job_id)
        return row

    async def snapshot(self, job_id: UUID, caller: Caller) -> JobSnapshot:
        """A job with its stages, without its pictures, if the caller may see it.

        Raises:
            Problem: 404, it is not there or not theirs.
        """
        snapshot = await self.parts.records.snapshot(job_id, None, 0)
        if snapshot is None or not caller.may_see(snapshot.user_id):
            raise _no_such_job(job_id)
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
        return temporal_pages(self.parts.settings)(job_id)


def put_together(parts: Parts, counting: Counting | None = None) -> Services:
    """The services over the parts.

    Args:
        parts: the adapters.
        counting: where the processes of a deployment count together; None counts for this one alone.
    """
    counting = counting or SqliteCounters(None)
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
        feeds=Feeds(Surroundings(parts.records, temporal_pages(settings), workers.latest, stalled_after)),
        views=SharedReadings(),
        thumbnails=Thumbnails(parts.storage, parts.pictures),
        counting=counting,
        changes=Allowance(RateLimitItemPerMinute(settings.api_changes_per_minute), "changes", counting.rates),
        # Before sign-in everybody is a stranger, and this process counts for itself.
        failed_keys=Allowance(
            RateLimitItemPerMinute(settings.api_failed_keys_per_minute), "invalid keys or tokens", MemoryStorage()
        ),
        leases=Leases(counting, settings),
        quotas=Quotas(parts.records, counting.rates, settings),
        documents=FairQueue(DOCUMENTS_AT_ONCE, 1),
    )


def _no_such_job(job_id: UUID) -> Problem:
    return Problem(404, f"there is no job {job_id}, or it is not yours")


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


async def used(request: Request) -> Services:
    """The same as a dependency: one that is not asynchronous is run in a thread, for each request."""
    return services(request)


async def public_urls(request: Request, use: Annotated[Services, Depends(used)]) -> PublicUrls:
    """The URLs of this request's answer."""
    return PublicUrls(prefix_of(request.scope), use.addresses)


_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="A Supabase access token, or an API key from `darkroom keys create`.",
)
"""Only for the OpenAPI document: `SignIn` reads the header, and reports errors in more detail."""


_CALLER = "darkroom.caller"
_COUNTED = "darkroom.counted"


async def signed_in(request: Request, _documented: Annotated[object, Depends(_BEARER)]) -> Caller:
    """The caller.

    Raises:
        Problem: 401.
    """
    return await recognised(request)


async def changing(request: Request, _caller: Annotated[Caller, Depends(signed_in)]) -> Caller:
    """The caller of a change, which counts towards the rate limit.

    Raises:
        Problem: 401, or 429 above the limit.
    """
    return await counted(request)


async def recognised(request: Request) -> Caller:
    """The caller of a request, looked up once: routes ask before the body is read, and their dependencies again.

    Raises:
        Problem: 401.
    """
    known = request.scope.setdefault("state", {})
    if _CALLER not in known:
        known[_CALLER] = await identified(request, presented(request))
    caller: Caller = known[_CALLER]
    request.state.operator = caller.operator  # what goes wrong is said in an operator's words
    belongs_to(request, caller.user_id)
    work_for(caller.user_id)
    return caller


async def identified(request: Request, shown: Presented | None) -> Caller:
    """Whom a key, a token or a session belongs to. Whoever tries too many that are none has to wait.

    Raises:
        Problem: 401, or 429 for an address that sent too many.
    """
    sign_in = services(request).sign_in
    if shown is None:
        return await sign_in.caller(None)
    return await _attempted(request, sign_in.caller(shown))


async def session_opened(request: Request, secret: str) -> str:
    """The secret of a new session, for a key or a token; limited as `identified`.

    Raises:
        Problem: 401, or 429 for an address that sent too many.
    """
    return await _attempted(request, services(request).sign_in.open_session(secret))


async def _attempted(request: Request, sign_in: Coroutine[object, object, T]) -> T:
    failed_keys, address = services(request).failed_keys, customer_of(request.client.host if request.client else None)
    with closing(sign_in):
        await failed_keys.ensure(address)
        try:
            return await sign_in
        except Problem as problem:
            if problem.status == 401:
                await failed_keys.note(address)
            raise


async def uploading(caller: Annotated[Caller, Depends(changing)]) -> Caller:
    """The caller of an upload, of which each may have so many at once: counted before the body is read."""
    return caller


async def counted(request: Request) -> Caller:
    """The caller of a change, counted once.

    Raises:
        Problem: 401, or 429 above the limit.
    """
    caller = await recognised(request)
    if not request.scope["state"].get(_COUNTED):
        await services(request).changes.spend(str(caller.user_id))
        request.scope["state"][_COUNTED] = True
    return caller


Use = Annotated[Services, Depends(used)]
Urls = Annotated[PublicUrls, Depends(public_urls)]
SignedIn = Annotated[Caller, Depends(signed_in)]
Changing = Annotated[Caller, Depends(changing)]
Uploading = Annotated[Caller, Depends(uploading)]
