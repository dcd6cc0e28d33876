"""The Temporal Web UI's address: a listener of ours before it, because Temporal's own obeys any web page.

Temporal's Web UI and HTTP API check no `Host`, so a page of another site reaches them by a name that it lets point to
this machine; and the HTTP API takes a `text/plain` body, which any page may send. Here nothing passes that does not
come from this address itself.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from darkroom.domain.errors import ServerNotReachable
from darkroom.embedded.slashed_ids import SlashedIds
from darkroom.hosts import name_of

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
LARGEST_BODY = 4 * 1024 * 1024
"""Bytes; Temporal itself refuses payloads above 2 MiB."""
UPSTREAM_PATIENCE = 120.0
"""Seconds; the pages poll a history for up to a minute."""
MOST_CONNECTIONS = 200
STOP_PATIENCE = 5.0

_READING = frozenset({"GET", "HEAD"})
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_SETTINGS = "/api/v1/settings"
_PLAIN_PAYLOADS = "application/json+no-payload-shorthand"
"""What the pages understand; without it the API shortens payloads in a way of its own."""
_ASKED = frozenset(
    {"accept", "accept-encoding", "accept-language", "if-none-match", "if-modified-since", "range", "caller-type"}
)
_ANSWERED = frozenset(
    {"content-type", "cache-control", "etag", "last-modified", "location", "set-cookie", "content-encoding", "vary"}
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
}


@dataclass(frozen=True)
class Upstream:
    """Where requests are passed on to.

    Args:
        files: the address of the Web UI, which may start it.
        api: the HTTP API of the server that has the jobs, and the `Host` that it answers; None where the Web UI
            asks its server itself.
        grpc: the same server by gRPC, for workflows that the HTTP API cannot name.
    """

    files: Callable[[], Awaitable[str]]
    api: tuple[str, str] | None = None
    grpc: str | None = None


class WebUi:
    """Passes on what comes from this address itself, and refuses everything else.

    Args:
        upstream: where to.
        names: by which this address is known, besides those of this machine.
    """

    def __init__(self, upstream: Upstream, names: frozenset[str] = frozenset()) -> None:
        self._upstream = upstream
        self._slashed = None if upstream.grpc is None else SlashedIds(upstream.grpc)
        self._names = LOCAL_NAMES | names
        # Without the proxies of the environment: everything is near.
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(UPSTREAM_PATIENCE, connect=5),
            trust_env=False,
            limits=httpx.Limits(max_connections=100),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = self._refusal(request) or await self._passed_on(request)
        response.headers.update(_HEADERS)
        await response(scope, receive, send)

    async def close(self) -> None:
        """Close the connections to what is behind."""
        await self._http.aclose()

    def _refusal(self, request: Request) -> Response | None:
        headers, path = request.headers, request.url.path
        hosts = headers.getlist("host")
        if len(hosts) != 1 or name_of(hosts[0]) not in self._names:
            return _refused(403, "this address is not served by that name; use http://127.0.0.1")
        to_api = path.startswith("/api/")
        if request.method not in (_READING | _CHANGING if to_api else _READING):
            return _refused(405, f"{request.method[:20]} is not allowed here")
        if request.method in _CHANGING and not _same_origin(headers, hosts[0]):
            return _refused(403, "only the Web UI's own pages may change something; use the `temporal` program instead")
        # Pages of other sites may link to ours, not read what the API says or load our scripts into themselves.
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "navigate")
        if site not in ("none", "same-origin") and (to_api or mode != "navigate"):
            return _refused(403, "this request came from a page of another site")
        return None

    async def _passed_on(self, request: Request) -> Response:
        path = request.url.path
        passed = {"accept-encoding": "identity"}
        passed |= {name: value for name, value in request.headers.items() if name in _ASKED}
        try:
            if self._upstream.api is not None and path.startswith("/api/") and path != _SETTINGS:
                base, passed["host"] = self._upstream.api
                passed |= {"accept": _PLAIN_PAYLOADS, "content-type": _PLAIN_PAYLOADS}
            else:
                base = await self._upstream.files()
                for name in ("cookie", "x-csrf-token", "content-type"):
                    if name in request.headers:
                        passed[name] = request.headers[name]
            body = await _body(request)
            if body is None:
                return _refused(413, "the request body is too large")
            raw = request.scope.get("raw_path") or path.encode()
            query = request.scope["query_string"]
            if self._slashed and (answered := await self._slashed.answer(request.method, raw, query, body)):
                return answered
            url = httpx.URL(base).copy_with(raw_path=raw + (b"?" + query if query else b""))
            asked = self._http.build_request(request.method, url, headers=passed, content=body)
            answer = await self._http.send(asked, stream=True)
        except ServerNotReachable as error:
            return _refused(503, str(error))
        except ClientDisconnect:
            return _refused(400, "the request ended early")
        except httpx.HTTPError:
            return _refused(502, "the Temporal server does not answer; try again in a moment")
        return _streamed(answer)


def _same_origin(headers: Headers, host: str) -> bool:
    """Browsers send `Origin` with everything that changes something; without one, it was none of our pages."""
    scheme, _, origin = headers.get("origin", "").partition("://")
    return scheme in ("http", "https") and origin == host and len(headers.getlist("origin")) == 1


async def _body(request: Request) -> bytes | None:
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > LARGEST_BODY:
            return None
    return b"".join(parts)


def _streamed(answer: httpx.Response) -> Response:
    async def content() -> AsyncIterator[bytes]:
        try:
            # As it came: what is compressed stays so.
            async for part in answer.aiter_raw():
                yield part
        finally:
            await answer.aclose()

    response = StreamingResponse(content(), answer.status_code)
    for name, value in answer.headers.multi_items():
        if name == "content-type" and value.startswith(_PLAIN_PAYLOADS):
            response.headers.append(name, "application/json")
        elif name in _ANSWERED:
            response.headers.append(name, value)
    return response


def _refused(status: int, reason: str) -> Response:
    return PlainTextResponse(f"{reason}\n", status)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which has more to do than this."""
        yield


@asynccontextmanager
async def serving_web_ui(app: WebUi, sock: socket.socket) -> AsyncIterator[None]:
    """Serve the Web UI on a socket while the context lasts."""
    # asyncio sets this only on sockets that name their protocol; without it every answer waits for an acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([sock]))
    try:
        yield
    finally:
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(task, STOP_PATIENCE)
        await app.close()
