"""Requests in progress: how many a process works on at the same time."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom.api.allowances import RETRY_AFTER, too_many
from darkroom.api.problems import answer
from darkroom.api.root_path import path_of


class InProgress:
    """Refuses requests while a process has its fill, those of clients that went away included.

    As `limit_concurrency` of uvicorn, which answers 503 in plain text, and counts connections that ask nothing.

    Args:
        app: what answers.
        most: requests at the same time.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or path_of(scope) == "/healthz":
            await self._app(scope, receive, send)
            return
        if self._count >= self._most:
            problem = too_many("this server has too many requests in progress", RETRY_AFTER)
            await answer(problem, Request(scope))(scope, receive, send)
            return
        self._count += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._count -= 1
