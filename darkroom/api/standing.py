"""What lasts longer than a request ends with the sign-in that it was opened with: streams, archives and long polls."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import structlog
from starlette.types import Message, Send

from darkroom.api.allowances import HeldResponse
from darkroom.api.problems import Problem
from darkroom.api.sign_in import Caller, not_signed_in
from darkroom.domain.errors import DarkroomError
from darkroom.fair_queue import work_for
from darkroom.records.keys import KeyRecords

log = structlog.get_logger(__name__)

EVERY = 4.0
"""Seconds between two looks at the records, one for all that is open, and between two looks of a stream at its sign-in:
what is revoked ends within twice that."""


class Watch:
    """The sign-in of one stream."""

    def __init__(self, caller: Caller) -> None:
        self._ends = caller.expires_at
        self.proof = caller.proof
        self.revoked = False

    @property
    def over(self) -> bool:
        """Whether the sign-in has ended."""
        return self.revoked or (self._ends is not None and datetime.now(UTC) >= self._ends)

    def ensure(self) -> None:
        """Go on only while the sign-in lasts.

        Raises:
            Problem: 401.
        """
        if self.over:
            raise not_signed_in("your session has ended, or your key was revoked; sign in again")


class Standing:
    """The sign-ins of all streams of this process."""

    def __init__(self, records: KeyRecords) -> None:
        self._records = records
        self._watches: set[Watch] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watched(self, caller: Caller) -> AsyncIterator[Watch]:
        """Notice the end of a sign-in while the context lasts."""
        watch = Watch(caller)
        if watch.proof is not None:
            self._watches.add(watch)
            if self._task is None:
                self._task = asyncio.create_task(self._look())
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    async def close(self) -> None:
        """Look no more: the server stops."""
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        work_for(None)  # but for everybody who watches
        try:
            while self._watches:
                await asyncio.sleep(EVERY)
                await self._ask()
        finally:
            self._task = None

    async def _ask(self) -> None:
        asked = {watch.proof for watch in self._watches if watch.proof is not None}
        try:
            valid = await self._records.valid_sign_ins(asked) if asked else ()
        except DarkroomError as error:
            # Nothing can be revoked meanwhile, either.
            log.warning("sign-ins cannot be checked", reason=str(error))
            return
        for watch in self._watches:
            if watch.proof in asked and watch.proof not in valid:
                watch.revoked = True


class WhileSignedIn(HeldResponse):
    """A long response. When its sign-in ends, the connection breaks off, so that nobody takes the part for the whole.

    Args:
        lease: what it counts as while it is being sent.
        standing: of this process.
        caller: whose sign-in it is.
        parts: of the body.
        media_type: of the body.
        headers: of the response.
        status_code: of the response.
    """

    def __init__(
        self,
        lease: AbstractAsyncContextManager[None],
        standing: Standing,
        caller: Caller,
        parts: AsyncIterator[bytes],
        *,
        media_type: str,
        headers: Mapping[str, str],
        status_code: int = 200,
    ) -> None:
        super().__init__(lease, parts, media_type=media_type, headers=headers, status_code=status_code)
        self._standing = standing
        self._caller = caller

    async def stream_response(self, send: Send) -> None:
        """Send the parts while the sign-in lasts."""
        async with self._standing.watched(self._caller) as watch:

            async def send_while_signed_in(message: Message) -> None:
                watch.ensure()
                await send(message)

            try:
                await super().stream_response(send_while_signed_in)
            except Problem as problem:
                log.info("download broken off", reason=problem.detail)
