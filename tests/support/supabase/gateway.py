"""The gateway: one address for PostgREST and Storage, as a hosted project has it. A process of its own.

It reads the heads of requests, to find the target, to strip the prefix, to count, and to know where the next request
starts. Answers pass as they come, over HTTP/1.1 in the order in which the client asked; where one ends is followed,
because a target that closes between two answers is none of the client's business.

    python -m tests.support.supabase.gateway rest/v1=127.0.0.1:3000 storage/v1=127.0.0.1:5000

prints its port, and takes GET and DELETE of /-/calls to read and to reset the counts.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

import uvloop

from tests.support.supabase.http_bodies import Body, SizedBody, answer_body, body_of

HOST = "127.0.0.1"
CALLS = "/-/calls"
_END_OF_HEAD = b"\r\n\r\n"


class Upstream(asyncio.Protocol):
    """The connection to a target for one client; what comes back goes to the client."""

    transport: asyncio.Transport

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._received = bytearray()
        self._method = ""
        self._body: Body | None = None
        self.begun = True
        self.answered = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, method: str, request: bytes) -> None:
        """Pass a request on, whose body follows."""
        self._method = method
        self.begun = self.answered = False
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.begun = True
        self._client.transport.write(data)
        self._received += data
        while self._received and not self.answered:
            if self._body is None:
                head, end, _ = self._received.partition(_END_OF_HEAD)
                if not end:
                    return
                del self._received[: len(head) + len(end)]
                self._body = answer_body(self._method, bytes(head))
            else:
                taken = self._body.take(self._received)
                if not taken:
                    return
                del self._received[:taken]
            if self._body is not None and self._body.finished:
                self._body = None
                self.answered = True

    def connection_lost(self, error: Exception | None) -> None:
        self._client.upstream_lost(self)

    def pause_writing(self) -> None:
        self._client.transport.pause_reading()

    def resume_writing(self) -> None:
        self._client.transport.resume_reading()


class Client(asyncio.Protocol):
    """A client's connection, with its own connection to each target that it asks."""

    transport: asyncio.Transport

    def __init__(self, targets: Mapping[str, tuple[str, int]], calls: Counter[str]) -> None:
        self._targets = targets
        self._calls = calls
        self._received = bytearray()
        self._body: Body = SizedBody(0)
        self._upstreams: dict[str, Upstream] = {}
        self._current: Upstream | None = None
        self._own_answer: bytes | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        for upstream in self._upstreams.values():
            upstream.transport.close()
        if self._connecting is not None:
            self._connecting.cancel()

    def pause_writing(self) -> None:
        for upstream in self._upstreams.values():
            upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        for upstream in self._upstreams.values():
            upstream.transport.resume_reading()

    def upstream_lost(self, lost: Upstream) -> None:
        """A target closed: a 502 if it owes an answer, the end of this connection if it broke one off."""
        self._upstreams = {prefix: upstream for prefix, upstream in self._upstreams.items() if upstream is not lost}
        if lost is not self._current or self.transport.is_closing():
            return
        self._current = None
        if lost.answered:
            return
        if lost.begun:
            self.transport.close()
            return
        self._own_answer = bad_gateway()
        if self._body.finished:
            self._answer()

    def _advance(self) -> None:
        while self._received and self._connecting is None:
            if self._body.finished:
                head_end = self._received.find(_END_OF_HEAD)
                if head_end < 0:
                    return
                head = bytes(self._received[: head_end + len(_END_OF_HEAD)])
                del self._received[: len(head)]
                self._begin(head)
            else:
                taken = self._body.take(self._received)
                if not taken:
                    return
                self._pass_on(bytes(self._received[:taken]))
                del self._received[:taken]
            if self._body.finished and self._own_answer is not None:
                self._answer()

    def _begin(self, head: bytes) -> None:
        line, _, headers = head.partition(b"\r\n")
        method, path, _version = line.decode("latin-1").split(" ", 2)
        self._body = body_of(headers)
        prefix, rest = split_prefix(path)
        if path == CALLS:
            self._own_answer = answer("200 OK", "application/json", json.dumps(self._calls))
            if method == "DELETE":
                self._calls.clear()
        elif prefix not in self._targets:
            self._own_answer = answer("404 Not Found", "application/json", '{"message":"no Route matched"}')
        else:
            self._calls[f"{method} {call_name(rest)}"] += 1
            request = f"{method} {rest} HTTP/1.1\r\n".encode("latin-1") + headers
            upstream = self._upstreams.get(prefix)
            if upstream is None or upstream.transport.is_closing():
                self._connecting = asyncio.create_task(self._connect(prefix, method, request))
            else:
                self._send(upstream, method, request)

    async def _connect(self, prefix: str, method: str, request: bytes) -> None:
        try:
            _, upstream = await asyncio.get_running_loop().create_connection(
                lambda: Upstream(self), *self._targets[prefix]
            )
        except OSError:
            self._own_answer = bad_gateway()
            if self._body.finished:
                self._answer()
        else:
            self._upstreams[prefix] = upstream
            self._send(upstream, method, request)
        self._connecting = None
        self._advance()

    def _send(self, upstream: Upstream, method: str, request: bytes) -> None:
        self._current = upstream
        upstream.send(method, request)

    def _pass_on(self, part: bytes) -> None:
        if self._own_answer is None and self._current is not None:
            self._current.transport.write(part)

    def _answer(self) -> None:
        if self._own_answer is not None:
            self.transport.write(self._own_answer)
            self._own_answer = None


def split_prefix(path: str) -> tuple[str, str]:
    """`/rest/v1/images?limit=1` → `rest/v1` and `/images?limit=1`."""
    _, first, *others = path.split("/", 3)
    second, question, query = (others[0] if others else "").partition("?")
    rest = others[1] if len(others) > 1 else ""
    return f"{first}/{second}", f"/{rest}{question}{query}"


def call_name(path: str) -> str:
    """`/rpc/darkroom_settle?x=1` → `rpc/darkroom_settle`; what goes deeper is left out."""
    return "/".join(path.partition("?")[0].split("/")[1:3])


def answer(status: str, kind: str, body: str) -> bytes:
    """An answer of the gateway's own."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def bad_gateway() -> bytes:
    """What a client gets to see when the server behind is down."""
    return answer("502 Bad Gateway", "text/html", "<html><body><h1>502 Bad Gateway</h1></body></html>\r\n")


async def serve(targets: Mapping[str, tuple[str, int]]) -> None:
    """Listen on a free port and print it."""
    calls: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(targets, calls), HOST, 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


def main(arguments: Sequence[str]) -> None:
    """Read `prefix=host:port` for each target."""
    targets: dict[str, tuple[str, int]] = {}
    for argument in arguments:
        prefix, _, address = argument.partition("=")
        host, _, port = address.rpartition(":")
        targets[prefix] = (host, int(port))
    uvloop.run(serve(targets))


if __name__ == "__main__":
    main(sys.argv[1:])
