"""What every request passes first: an id, who may call from where, and the headers that keep browsers in bounds."""

import re
from collections.abc import Iterable
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom.api.problems import Problem, answer, problem_of
from darkroom.api.root_path import path_of
from darkroom.api.sign_in import bearer_of, is_loopback
from darkroom.hosts import name_of
from darkroom.orders.tables import MEDIA_TYPES as TABLES

log = structlog.get_logger("darkroom.api")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
"""What proxies add; one of them is enough."""
_JSON = "application/json"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_BODIES = {
    "/api/attachments": ("multipart/form-data",),
    "/api/tables": tuple(TABLES),
    "/api/jobs": (_JSON, *TABLES),
    "/api/jobs/quote": (_JSON, *TABLES),
}
"""What routes read that do not read JSON alone."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
DOCS_POLICY = CONTENT_SECURITY_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
"""Swagger UI writes style attributes."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Sender:
    """Sends an answer with the headers that every answer has."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._replaced = False
        self.started = False

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if message["status"] == 413 and headers.get("content-type", "").startswith("text/plain"):
                await self._send_too_large()
                return
            self._complete(headers)
            self.started = True
            log.debug("request", method=self._scope["method"], path=self._scope["path"], status=message["status"])
        await self._send(message)

    def _complete(self, headers: MutableHeaders) -> None:
        headers["X-Request-ID"] = self._request_id
        docs = path_of(self._scope) == "/docs"
        headers.setdefault("Content-Security-Policy", DOCS_POLICY if docs else CONTENT_SECURITY_POLICY)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if headers.get("content-type", "").partition(";")[0].endswith(("json", "/html")):
            headers.setdefault("Cache-Control", "no-store")

    async def _send_too_large(self) -> None:
        """The framework counts bytes below our error handlers, and responds in plain text."""
        problem = Problem(413, "the request body is too large")
        await answer(problem, Request(self._scope))(self._scope, self._receive, self)
        self._replaced = True


class RequestGuard:
    """Gives each request an id, refuses other sites' pages, and sets the headers of every answer.

    Args:
        app: what is guarded.
        local: whether requests need no sign-in; then only this machine's own names are served, so that no page of
            another site reaches us by a name that it lets point here.
        origins: front ends elsewhere that may call.
    """

    def __init__(self, app: ASGIApp, *, local: bool, origins: Iterable[str] = ()) -> None:
        self._app = app
        self._local = local
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and not path_of(scope).startswith("/api/"):
            # Health checks ask like this. The server sends no body then, whatever it is given.
            scope = {**scope, "method": "GET"}
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid4())
        # A copy: an application that we are mounted in may keep an id of its own there.
        scope = {**scope, "state": {**scope.get("state", {}), "request_id": request_id}}
        sender = _Sender(scope, receive, send, request_id)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            problem = self._refusal(scope, headers)
            if problem is None:
                try:
                    await self._app(scope, receive, sender)
                except Exception as error:
                    # Here and not in the framework's outermost layer, where the answer would lack its headers and
                    # the log line the request's id.
                    if sender.started:
                        raise
                    log.exception("request failed", method=scope["method"], path=scope["path"])
                    problem = problem_of(error)
            if problem is not None:
                await answer(problem, Request(scope))(scope, receive, sender)

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        host = headers.get("host", "")
        if self._local and (problem := _not_of_this_machine(scope, headers, host)) is not None:
            return problem
        if scope["method"] in _SAFE:
            return None
        # No page of another site can send this header unasked. One of another scheme, browsers send by themselves.
        by_header, _ = bearer_of(headers.get("authorization"))
        if not by_header and not self._from_here(headers, host):
            return Problem(403, "this request came from a page of another site; send `Authorization: Bearer` instead")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        readable = _readable(path_of(scope))
        if has_body and kind not in readable:
            given = kind[:60] or "a body without Content-Type"
            return Problem(415, f"{given} is not supported here; send {' or '.join(readable)}")
        return None

    def _from_here(self, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin is not None:
            return origin in self._origins or (host != "" and origin.partition("://")[2] == host)
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _readable(path: str) -> tuple[str, ...]:
    """The types of bodies that a route reads; the pages' own routes read forms."""
    return _BODIES.get(path, (_JSON,)) if path.startswith("/api/") else _FORMS


def _not_of_this_machine(scope: Scope, headers: Headers, host: str) -> Problem | None:
    if not is_loopback(name_of(host)):
        return Problem(403, f"{host[:80]} is not this machine; use http://127.0.0.1")
    if any(name in headers for name in _FORWARDED):
        return Problem(
            403,
            "this request came through a proxy, and everybody behind it would be the local user; "
            "set API_HOST to another address to require sign-in",
        )
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        # The application that we are mounted in may listen on any address, whatever API_HOST says.
        return Problem(
            403,
            "this request came from another machine, and only this one is served without sign-in; "
            "set API_HOST to the address that the application listens on to require sign-in",
        )
    return None
