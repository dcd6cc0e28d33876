"""What the local servers that play a provider have in common: HTTP, scripts of answers, and running as a process.

A script holds an answer's name a line, with how often it is given where that is not once ("503 x3"), and
comments after "#". When it is through, every further call gets the answer `then`. A prompt that holds
"{answer:NAME}" gets that answer whatever the script says, and takes none from it. `GET /requests` lists
the calls that came.
"""

import asyncio
import contextlib
import io
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from PIL import Image

KEY = "fake-key"
AREA = 320 * 180
"""Pixels of a picture: enough to be one, small enough to encode at once."""


@dataclass(frozen=True)
class Reference:
    """An input image as it came over the wire."""

    media_type: str
    sha256: str


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    media_type: str = "application/json; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: float = 1.0
    """The share of the body that is sent."""
    hangs: bool = False
    """Whether the rest never comes; with nothing sent, not even the headers do."""


def picture(number: int, across: int, down: int, kind: str = "PNG") -> bytes:
    """A picture of this shape, in a colour of its number's own."""
    scale = (AREA / (across * down)) ** 0.5
    colour = (number * 67 % 256, number * 131 % 256, number // 256 % 256)
    file = io.BytesIO()
    Image.new("RGB", (round(across * scale), round(down * scale)), colour).save(file, kind)
    return file.getvalue()


def json_answer(value: object, status: int = 200, **headers: str) -> Answer:
    """A JSON body; `Retry_After="7"` is a header."""
    return Answer(
        json.dumps(value).encode(), status, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


def page(status: int) -> Answer:
    """What a proxy or some other server says."""
    return Answer(f"<!DOCTYPE html><title>{status}</title>".encode(), status, "text/html")


def dropped(whole: bytes) -> Answer:
    """Half of a good answer; then the connection ends."""
    return Answer(whole, sent=0.5)


def stalled(whole: bytes) -> Answer:
    """Half of a good answer; then nothing."""
    return Answer(whole, sent=0.5, hangs=True)


NOTHING = Answer(b"", sent=0)
"""The connection ends without a word."""

SILENCE = Answer(b"", sent=0, hangs=True)
"""The connection stays open without a word."""


class Call(Protocol):
    """One call for a picture, with what tests ask about; a data class."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def prompt(self) -> str:
        """What was asked for."""
        ...


C = TypeVar("C", bound=Call)


@dataclass(frozen=True)
class Repertoire(Generic[C]):
    """All answers a server knows, by name."""

    answers: Mapping[str, Callable[[C], Answer]]
    families: Mapping[str, Callable[[str, C], Answer]]
    """Answers named FAMILY:REST, for any rest."""

    def known(self) -> tuple[str, ...]:
        """The names of all answers."""
        return (*self.answers, *(f"{family}:REASON" for family in self.families))

    def check(self, name: str) -> None:
        """Raise a ValueError that says what is known when there is no such answer."""
        family, colon, _ = name.partition(":")
        if name not in self.answers and not (colon and family in self.families):
            raise ValueError(f"no answer is named '{name}'; known: {', '.join(self.known())}")

    def build(self, name: str, call: C) -> Answer:
        """The answer of this name to a call."""
        self.check(name)
        if name in self.answers:
            return self.answers[name](call)
        family, _, rest = name.partition(":")
        return self.families[family](rest, call)


class FakeProvider(Generic[C]):
    """A server that plays a provider; an asynchronous context manager.

    Answers come from `script` in its order, then from `then`. `together` holds all answers until that many
    calls are under way at once; `latency` (seconds) delays every answer; with `model`, others are not found.
    """

    name: ClassVar[str]
    repertoire: Repertoire[C]

    def __init__(
        self,
        *script: str,
        then: str = "png",
        key: str = KEY,
        port: int = 0,
        latency: float = 0,
        together: int = 1,
        model: str | None = None,
    ) -> None:
        for name in (*script, then):
            self.repertoire.check(name)
        self.key = key
        self.model = model
        self.received: deque[C] = deque(maxlen=10_000)
        self.count = 0
        """Calls for a picture with the right key so far."""
        self.under_way = 0
        self.most_under_way = 0
        self.connections = 0
        """Connections that are open now."""
        self._script = deque(script)
        self._then = then
        self._port = port
        self._latency = latency
        self._together = asyncio.Barrier(together)
        self._changed = asyncio.Condition()
        self._handlers: set[asyncio.Task[object]] = set()
        self._server: asyncio.Server | None = None

    async def respond(self, request: Request) -> Answer:
        """The answer to one request; calls for a picture go through `play`."""
        raise NotImplementedError

    def unknown_answer(self, reason: str) -> Answer:
        """The answer to a prompt that asks for an answer there is not."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """What the provider's base address is to be."""
        assert self._server is not None, "the server runs inside `async with` only"
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds, within 20 s; it is asked whenever a call or a connection comes or goes."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(condition)

    async def play(self, call: C, refused: Answer | None = None) -> Answer:
        """Record a call and answer it: with `refused`, or with what is its turn."""
        self.received.append(call)
        await self._notify()
        await self._together.wait()
        await asyncio.sleep(self._latency)
        if refused is not None:
            return refused
        name = self._next(call.prompt)
        try:
            return self.repertoire.build(name, call)
        except ValueError as unknown:
            return self.unknown_answer(str(unknown))

    async def deliver(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send an answer; whether the connection may be used again."""
        return await _send(answer, reader, writer)

    def _next(self, prompt: str) -> str:
        asked_for = re.search(r"\{answer:([^}]+)\}", prompt)
        if asked_for:
            return asked_for[1]
        return self._script.popleft() if self._script else self._then

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self.connections += 1
        try:
            # A client that hangs up is no fault of the server, and neither is the end of the server: asyncio
            # before 3.12 reports a handler that was cancelled.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            self.connections -= 1
            self._handlers.discard(task)
            writer.transport.abort()
            await self._notify()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may be used again."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if (method, path) == ("GET", "/requests"):
                answer = json_answer([asdict(call) for call in self.received])
            else:
                answer = await self.respond(Request(method, path, headers, body))
            return await self.deliver(answer, reader, writer)
        finally:
            self.under_way -= 1
            await self._notify()


async def _send(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    headers = {"Content-Type": answer.media_type, "Content-Length": str(len(answer.body)), **answer.headers}
    head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers.items()
    )
    if answer.sent:
        writer.write(f"{head}\r\n".encode() + answer.body[: round(len(answer.body) * answer.sent)])
        await writer.drain()
    if answer.hangs:
        await reader.read()  # comes back when the client hangs up
    if answer.sent < 1 and not answer.hangs:
        writer.close()  # lets what was sent arrive first
        await writer.wait_closed()
    return answer.sent == 1
