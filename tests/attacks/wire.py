"""Requests and answers as bytes: what an enemy sends is not what a client library would let through."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 2.0
"""Seconds that an answer may take: one that comes later was waiting for more of the request, or is a stream."""


@dataclass(frozen=True)
class Ask:
    """A request. `raw` are its very bytes, where they are given."""

    method: str = "GET"
    target: str = "/"
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    raw: bytes | None = None

    def with_headers(self, *more: tuple[str, str]) -> "Ask":
        """The same with more headers."""
        return replace(self, headers=(*self.headers, *more))

    def encoded(self, host: str) -> bytes:
        """What goes over the wire; the real `Host` unless there is one."""
        if self.raw is not None:
            return self.raw.replace(b"{host}", host.encode())
        names = {name.lower() for name, _ in self.headers}
        head = [f"{self.method} {self.target} HTTP/1.1"]
        head += [] if "host" in names else [f"Host: {host}"]
        head += [f"{name}: {value}" for name, value in self.headers]
        if self.body and not names & {"content-length", "transfer-encoding"}:
            head.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*head, "Connection: close", "", ""]).encode("utf-8", "surrogateescape") + self.body


def sending(method: str, target: str, document: Any, *headers: tuple[str, str]) -> Ask:
    """A request with a JSON body."""
    return Ask(method, target, (("Content-Type", "application/json"), *headers), json.dumps(document).encode())


def uploading(target: str, name: str, data: bytes, *headers: tuple[str, str]) -> Ask:
    """A form with a file."""
    disposition = b'Content-Disposition: form-data; name="file"; filename="' + name.encode("utf-8", "replace") + b'"'
    body = b"--part\r\n" + disposition + b"\r\nContent-Type: image/png\r\n\r\n" + data + b"\r\n--part--\r\n"
    return Ask("POST", target, (("Content-Type", "multipart/form-data; boundary=part"), *headers), body)


@dataclass(frozen=True)
class Answer:
    """What came back: all of it, or what came in time."""

    data: bytes
    ended: bool = True
    """Whether the server closed the connection."""
    status: int = 0
    """0 without an answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def kind(self) -> str:
        """Its media type."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_answer(data: bytes, *, ended: bool) -> Answer:
    """The answer in what came."""
    rest = data
    while rest.startswith(b"HTTP/1.1 100"):
        rest = rest.partition(b"\r\n\r\n")[2]
    head, _, body = rest.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split()
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = (
            f"{headers[name.lower()]}, {value.strip()}" if name.lower() in headers else value.strip()
        )
    if "chunked" in headers.get("transfer-encoding", ""):
        body = _joined(body)
    return Answer(data, ended, status, headers, body)


def _joined(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            break
        whole, body = whole + rest[:length], rest[length + 2 :]
        if length == 0:
            break
    return whole


async def exchange(address: str, ask: Ask, patience: float = PATIENCE) -> Answer:
    """Send a request on a connection of its own, and read until the server closes it or patience ends."""
    where = urlsplit(address)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    came, ended = b"", False
    try:
        writer.write(ask.encoded(where.netloc))
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(patience):
                while part := await reader.read(1 << 16):
                    came += part
                ended = True
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return read_answer(came, ended=ended)
