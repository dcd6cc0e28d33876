"""The API under a prefix: mounted in an application of somebody else's, behind a reverse proxy, or both."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from temporalio.client import Client as TemporalClient

from darkroom.api import create_app, mount
from darkroom.bootstrap import Parts, open_parts
from darkroom.domain.keys import NewApiKey, hash_of, new_secret
from darkroom.domain.names import LOCAL_USER
from darkroom.embedded.address import ADDRESS_FILE
from darkroom.settings import Settings
from tests.support.children import SHARED
from tests.support.stacks.api import OPENING_BALANCE, Event, lines_of, parsed, serving_app
from worker import running_workers

MOUNT = "/pictures"
"""The API has paths of its own that begin so."""
SITE = "/site"
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "host")


class Way(StrEnum):
    """How a browser reaches the API."""

    MOUNTED = "mounted"
    PROXY_STRIPS = "proxy-strips"
    PROXY_KEEPS = "proxy-keeps"
    MOUNTED_BEHIND_PROXY = "mounted-behind-proxy"


EACH_WAY = [
    Way.MOUNTED_BEHIND_PROXY,
    Way.PROXY_STRIPS,
    pytest.param(Way.MOUNTED, marks=pytest.mark.slow),
    pytest.param(Way.PROXY_KEEPS, marks=pytest.mark.slow),
]
"""The first is two in one, and the second strips what they keep."""


@dataclass
class Reached:
    """What a test holds in its hand."""

    url: str
    """Of the server or the proxy, without the prefix."""
    prefix: str
    http: httpx.AsyncClient
    parts: Parts

    async def order(self, quantity: int = 2) -> dict[str, Any]:
        """Order one stage; gives the answer."""
        document = {"stages": [{"prompt": "a lemon", "quantity": quantity}]}
        answer = await self.http.post(f"{self.prefix}/api/jobs", json=document)
        assert answer.status_code == 202, answer.text
        ordered: dict[str, Any] = answer.json()
        assert answer.headers["location"] == ordered["urls"]["self"]
        return ordered

    async def events(self, address: str) -> list[Event]:
        """All events of a job, until its end."""
        async with self.http.stream("GET", address, timeout=30) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            return [event async for event in parsed(lines_of(answer))]

    async def key(self, user_id: UUID) -> str:
        """A key of a user, who is made a member."""
        await self.parts.records.ensure_member(user_id, OPENING_BALANCE)
        secret = new_secret()
        await self.parts.records.add_api_key(
            NewApiKey(key_id=uuid4(), user_id=user_id, name="test", operator=False, key_hash=hash_of(secret))
        )
        return secret


class Refused(Exception):
    """What the foreign application has an error handler of its own for."""


def foreign_app() -> FastAPI:
    """Somebody's application: routes, an error format, a lifespan and middleware of its own."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"opened": "by the application itself"}

    app = FastAPI(lifespan=lifespan)

    @app.exception_handler(HTTPException)
    async def of_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return PlainTextResponse(f"ours: {error.detail}", error.status_code)

    @app.exception_handler(Refused)
    async def of_refused(_: Request, error: Exception) -> Response:
        return JSONResponse({"ours": str(error)}, 418)

    @app.middleware("http")
    async def with_id(request: Request, call_next: Any) -> Response:
        request.state.request_id = "of the application"
        response: Response = await call_next(request)
        response.headers["X-Outer-ID"] = request.state.request_id
        return response

    @app.get("/hello")
    async def hello(request: Request) -> dict[str, str]:
        return {"hello": "world", "opened": request.state.opened}

    @app.post("/hello")
    async def hello_posted(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/refused")
    async def refused() -> None:
        raise Refused("no")

    @app.get("/gone")
    async def gone() -> None:
        raise HTTPException(410, "gone")

    return app


class PrefixProxy:
    """A reverse proxy that serves one prefix, and takes it away or leaves it in the path."""

    def __init__(self, upstream: str, prefix: str, *, strip: bool) -> None:
        self._http = httpx.AsyncClient(base_url=upstream, timeout=60, trust_env=False, verify=False)
        self._prefix = prefix
        self._strip = strip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = scope["raw_path"].decode()
        if not path.startswith(f"{self._prefix}/"):
            await PlainTextResponse("the proxy serves nothing here", 404)(scope, receive, send)
            return
        address = httpx.URL(path.removeprefix(self._prefix) if self._strip else path, query=scope["query_string"])
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
        headers.append(("host", request.headers["host"]))
        outgoing = self._http.build_request(request.method, address, headers=headers, content=await request.body())
        answer = await self._http.send(outgoing, stream=True)
        response = StreamingResponse(answer.aiter_raw(), answer.status_code)
        response.raw_headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower().decode() not in HOP_BY_HOP
        ]
        try:
            await response(scope, receive, send)
        finally:
            await answer.aclose()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()


@asynccontextmanager
async def proxied(upstream: str, prefix: str, *, strip: bool) -> AsyncIterator[str]:
    """A proxy before an application; gives its address."""
    proxy = PrefixProxy(upstream, prefix, strip=strip)
    async with serving_app(proxy, lifespan="off") as url:
        yield url
    await proxy.close()


def settings_in(home: Path, temporal: TemporalClient, **more: Any) -> Settings:
    """The embedded default in a folder, with the tests' Temporal server."""
    address = temporal.service_client.config.target_host
    (home / ADDRESS_FILE).write_text(json.dumps({"address": address, "ui_url": "http://127.0.0.1:8233", "pid": 1}))
    quick = {"offline_latency": "0", "offline_size": "64x36", "top_up_delay": 0.05}
    return Settings(_env_file=None, darkroom_home=home, image_provider="offline", **{**quick, **more})


@asynccontextmanager
async def reached(
    way: Way, temporal: TemporalClient, home: Path, settings: Mapping[str, Any] | None = None
) -> AsyncIterator[Reached]:
    """The API with a worker, reached this way."""
    chosen = settings_in(home, temporal, **(settings or {}))
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(chosen, children=SHARED))
        await parts.records.ensure_member(LOCAL_USER, OPENING_BALANCE)
        if chosen.api_host != "127.0.0.1":
            await stack.enter_async_context(_a_key(parts))
        if way in (Way.MOUNTED, Way.MOUNTED_BEHIND_PROXY):
            app = foreign_app()
            mount(app, MOUNT, chosen)
            prefix = MOUNT if way is Way.MOUNTED else SITE + MOUNT
            root_path = "" if way is Way.MOUNTED else SITE
            url = await stack.enter_async_context(serving_app(app, root_path=root_path))
            if way is Way.MOUNTED_BEHIND_PROXY:
                url = await stack.enter_async_context(proxied(url, SITE, strip=True))
        else:
            prefix = MOUNT
            app = create_app(chosen.model_copy(update={"api_root_path": MOUNT}))
            url = await stack.enter_async_context(serving_app(app))
            strip = way is Way.PROXY_STRIPS
            url = await stack.enter_async_context(proxied(url, MOUNT, strip=strip))
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=False)
        )
        async with running_workers(parts, temporal):
            yield Reached(url, prefix, http, parts)


@asynccontextmanager
async def _a_key(parts: Parts) -> AsyncIterator[None]:
    """Without anything to sign in with, the API refuses to start elsewhere than on this machine."""
    user = uuid4()
    await parts.records.ensure_member(user, 0)
    await parts.records.add_api_key(
        NewApiKey(key_id=uuid4(), user_id=user, name="first", operator=False, key_hash=hash_of(new_secret()))
    )
    yield
