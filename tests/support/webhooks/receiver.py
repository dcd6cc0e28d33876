"""A receiver of webhooks: a real HTTP server that answers by its script, and remembers what came."""

import asyncio
import ssl
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from standardwebhooks import Webhook

from tests.support.fakes.http import NOTHING, SILENCE, Answer, FakeProvider, Repertoire, Request


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    prompt: str = field(default="", repr=False)
    """What the script of an answer could ask for; nobody does."""

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The event, as a receiver with this secret gets it from the library."""
        event: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return event


_ANSWERS: dict[str, Answer] = {
    "200": Answer(b'{"thanks": true}'),
    "204": Answer(b"", 204),
    "302": Answer(b"", 302, headers={"Location": "/elsewhere"}),
    "400": Answer(b"no", 400),
    "404": Answer(b"no", 404),
    "410": Answer(b"no more", 410),
    "429": Answer(b"", 429, headers={"Retry-After": "3600"}),
    "500": Answer(b"oh", 500),
    "nothing": NOTHING,
    "silence": SILENCE,
    "200 and never done": Answer(b"x" * 1000, sent=0.5, hangs=True),
    "200 and endless": Answer(b"x" * 50_000_000),
}


def _given(answer: Answer, _: Got) -> Answer:
    return answer


class Receiver(FakeProvider[Got]):
    """A context manager; `url` is where events go."""

    name = "receiver"
    repertoire = Repertoire({name: partial(_given, answer) for name, answer in _ANSWERS.items()}, {})

    def __init__(self, *script: str, then: str = "200", certificate: ssl.SSLContext | None = None) -> None:
        super().__init__(*script, then=then)
        self._certificate = certificate
        self.accepted = 0
        """Connections that were made, whatever came of them."""

    async def respond(self, request: Request) -> Answer:
        return await self.play(Got(request.path, request.headers, request.body))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._certificate)
        return self

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        await super()._connected(reader, writer)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def hook(self) -> str:
        """Where events go, with a path and a query that are part of it."""
        return f"{self.url}/hooks?token=xyzzy"

    def answer(self, name: str) -> None:
        """What is answered from now on."""
        self.repertoire.check(name)
        self._then = name

    async def events(self, number: int) -> list[Got]:
        """The first so many requests, once they have come."""
        await self.until(lambda: len(self.received) >= number)
        return list(self.received)[:number]
