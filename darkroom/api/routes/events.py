"""Following a job: server-sent events (SSE)."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from darkroom.api.allowances import Held, HeldResponse
from darkroom.api.guarded_routes import GuardedRoute
from darkroom.api.job_feed import END, JobFeed
from darkroom.api.problems import documented
from darkroom.api.public_urls import PublicUrls
from darkroom.api.routes.jobs import JobId
from darkroom.api.services import Services, SignedIn, Urls, Use
from darkroom.api.sign_in import Caller
from darkroom.api.standing import EVERY, Watch

router = APIRouter(prefix="/api/jobs", tags=["jobs"], route_class=GuardedRoute)

SILENCE = 15.0
"""Seconds without an event after which a keep-alive comment is sent."""
AT_ONCE = 500
"""Pictures sent at a time to a client with many to catch up on: the rest waits for the client, and not in memory."""
_COME_BACK = b"retry: 1000\n\n"


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        **documented(404),
        200: {
            "description": "`progress`, `stage`, `image` and `end` events; the id is the number of pictures sent, with "
            "`.end` behind it for the last event.",
            "content": {"text/event-stream": {}},
        },
        204: {"description": "The job has ended and you have received its `end` event: an `EventSource` stops here."},
    },
)
async def events(
    job_id: JobId,
    caller: SignedIn,
    use: Use,
    urls: Urls,
    *,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=40, description="The id of the last event you received.")
    ] = None,
    after: Annotated[
        int,
        Query(ge=0, le=10**9, description="The number of the last picture you have. Last-Event-ID takes precedence."),
    ] = 0,
) -> StreamingResponse:
    """Stream job events (SSE). Sends each picture once, as it arrives, and every change, until the job ends."""
    await use.job(job_id, caller)
    return _Followed(use, caller, job_id, urls, last_event_id or str(after))


class _Followed(HeldResponse):
    """A job's events for one client. It follows the job for as long as it is being sent, and no longer."""

    media_type = "text/event-stream"

    def __init__(self, use: Services, caller: Caller, job_id: UUID, urls: PublicUrls, last_event_id: str) -> None:
        lease = use.leases.held(Held.STREAM, caller)
        super().__init__(lease, self._parts(), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._use = use
        self._caller = caller
        self._job_id = job_id
        self._urls = urls
        self._last_event_id = last_event_id
        self._feed: JobFeed | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Entered before the response begins, so that a job that cannot be read is a problem and no broken stream.
        async with self._use.feeds.following(self._job_id) as self._feed:
            if self._feed.ended and self._last_event_id == self._feed.end_id:
                await Response(status_code=204, headers={"Cache-Control": "no-store"})(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)

    async def _parts(self) -> AsyncIterator[bytes]:
        assert self._feed is not None
        async with self._use.standing.watched(self._caller) as watch:
            async for part in _event_stream(
                self._feed, self._urls, self._last_event_id, watch, operator=self._caller.operator
            ):
                yield part


async def _event_stream(
    feed: JobFeed, urls: PublicUrls, last_event_id: str, watch: Watch, *, operator: bool
) -> AsyncIterator[bytes]:
    sent, since = _already_sent(last_event_id, feed.known), -1
    beginning = _COME_BACK
    while True:
        while feed.known - sent > AT_ONCE:
            if watch.over:
                return
            yield b"".join([beginning, *feed.image_events(sent, AT_ONCE, urls)])
            beginning = b""
            sent += AT_ONCE
            # A client that keeps up would never let the others have a turn.
            await asyncio.sleep(0)
        known, version, ended = feed.known, feed.version, feed.ended
        yield beginning + feed.events(sent, since, urls, operator=operator)
        beginning = b""
        sent, since = known, version
        if ended or feed.closed:
            return
        quiet_since = monotonic()
        while not watch.over and not await feed.changed(since, min(EVERY, SILENCE)):
            if monotonic() - quiet_since >= SILENCE:
                quiet_since = monotonic()
                yield KEEPALIVE_COMMENT
        if watch.over:
            return


def _already_sent(last_event_id: str, known: int) -> int:
    """How many pictures a client has received; one whose id cannot be right is sent all of them."""
    written = last_event_id.removesuffix(END)
    if not written.isascii() or not written.isdigit():
        return 0
    number = int(written)
    return number if number <= known else 0
