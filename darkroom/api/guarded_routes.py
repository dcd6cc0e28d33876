"""Routes that know who asks before they read what is asked: the body of a stranger is never read."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope

from darkroom.api.allowances import Held
from darkroom.api.problems import BodyRejected, Problem, problem_of
from darkroom.api.services import changing, counted, recognised, services, signed_in, uploading
from darkroom.domain.errors import OrderRejected
from darkroom.fair_queue import elsewhere
from darkroom.orders.json_text import NotJson, read_json

S = TypeVar("S")
T = TypeVar("T")

LARGEST_DOCUMENT = 12 * 1024 * 1024
"""Bytes of an order: 1,000 prompts of 10,000 characters, or 100 of the longest, however they are escaped."""
LARGEST_REQUEST = 64 * 1024
"""Bytes of every other body; routes that take more say so."""


_LARGE = b" "
"""In place of a body that lies on the disk."""


class StrictRequest(Request):
    """A request whose JSON is read as orders are: within limits of depth and size, and off the event loop.

    A large body waits on the disk for its turn to be read: however many are sent at once, one is worked on. The turn
    lasts until the response, or until the route gives it back.
    """

    subject = "body"
    """What errors call what was sent."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self._received: SpooledTemporaryFile[bytes] | None = None
        self._turn = AsyncExitStack()

    async def body(self) -> bytes:
        """The body; one space for a large one, which `reading` reads."""
        if not hasattr(self, "_body"):
            file = self._received = SpooledTemporaryFile(LARGEST_REQUEST)  # noqa: SIM115 - closed by `_forget`
            async for chunk in self.stream():
                file.write(chunk)
            large = file.tell() > LARGEST_REQUEST
            file.seek(0)
            self._body = _LARGE if large else file.read()
            if not large:
                self._forget()
        return self._body

    async def give_turn_back(self) -> None:
        """Let others work: what follows is waiting."""
        await self._turn.aclose()

    async def done(self) -> None:
        """Forget what was received."""
        self._forget()
        await self.give_turn_back()

    def _forget(self) -> None:
        if self._received is not None:
            self._received.close()
            self._received = None

    async def json(self) -> Any:
        """The document of the body.

        Raises:
            BodyRejected: it cannot be read.
        """
        return await self.reading(read_document)

    async def reading(self, read: Callable[[bytes], T]) -> T:
        """What a function reads of the body; what is wrong with it is a problem.

        Raises:
            BodyRejected: it cannot be read.
        """
        body = await self.body()
        if self._received is None:
            return await self._in_thread(read, body)
        caller = await recognised(self)
        async with elsewhere():
            await self._turn.enter_async_context(services(self).documents.turn(caller.user_id))
            return await self._in_thread(lambda file: read(file.read()), self._received)

    async def _in_thread(self, read: Callable[[S], T], source: S) -> T:
        try:
            return await asyncio.to_thread(read, source)
        except UnicodeDecodeError as error:
            reason = f"{self.subject}: is not UTF-8 text: invalid byte at position {error.start:,}"
            raise BodyRejected(Problem(400, reason, field=self.subject)) from None
        except NotJson as error:
            raise BodyRejected(Problem(400, f"{self.subject}: {error.reason}", field=self.subject)) from None
        except OrderRejected as error:
            raise BodyRejected(problem_of(error)) from None


def read_document(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
        OrderRejected: it is not JSON, or too much of it.
    """
    return read_json(body.decode("utf-8-sig"))


class GuardedRoute(APIRoute):
    """A route that signs the caller in, and counts a change, from the request's head.

    FastAPI reads a body before it asks any dependency.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, behind the sign-in that its dependencies ask for."""
        handle = super().get_route_handler()
        asked = set(_calls(self.dependant))

        async def guarded(request: Request) -> Response:
            if changing in asked:
                caller = await counted(request)
                if (kind := Held.UPLOAD if uploading in asked else _large(request)) is not None:
                    async with services(request).leases.held(kind, caller):
                        return await self._handled(handle, request)
            elif signed_in in asked:
                await recognised(request)
            return await self._handled(handle, request)

        return guarded

    async def _handled(self, handle: Callable[[Request], Coroutine[Any, Any, Response]], request: Request) -> Response:
        read = self.request(request)
        try:
            return await handle(read)
        finally:
            await read.done()

    def request(self, request: Request) -> StrictRequest:
        """The request as the route reads it."""
        return StrictRequest(request.scope, request.receive)


def _large(request: Request) -> Held | None:
    """What a body counts as that may be large: its length is above that of others, or not said."""
    length = request.headers.get("content-length", "" if "transfer-encoding" in request.headers else "0")
    return None if length.isdecimal() and int(length) <= LARGEST_REQUEST else Held.ORDER


def _calls(dependant: Dependant) -> list[object]:
    """Every function that a route depends on."""
    return [dependant.call, *(call for part in dependant.dependencies for call in _calls(part))]
