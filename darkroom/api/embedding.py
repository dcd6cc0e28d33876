"""The API in an application of your own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette

from darkroom.api.app import unopened_app
from darkroom.api.services import Services, put_together
from darkroom.bootstrap import open_parts
from darkroom.counting.opening import open_counting
from darkroom.settings import Settings, make_home, read_settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API as an application of its own, which opens and closes what it needs in its lifespan.

    Serve it with any ASGI server. To mount it, use `mount`: a mounted application gets no lifespan events.

    Args:
        settings: read from the environment and `.env` when they are not given.

    Raises:
        SettingRejected: a setting is wrong. What only shows when it starts is raised by the lifespan.
    """
    settings = settings or read_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened(settings) as services:
            app.state.services = services
            try:
                yield
            finally:
                del app.state.services

    return unopened_app(settings, lifespan)


def mount(app: Starlette, path: str, settings: Settings | None = None) -> FastAPI:
    """Mount the API and its page in an application under a path such as `/pictures`.

    It is opened before and closed after the lifespan of `app`, whose own routes, error handlers and middleware stay as
    they are. Call it before the server starts.

    Args:
        app: a FastAPI or Starlette application.
        path: from its slash on, without one at the end.
        settings: read from the environment and `.env` when they are not given.

    Returns:
        The mounted application.

    Raises:
        ValueError: the path is none to mount under.
        SettingRejected: as `create_app`.
    """
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"path: {path!r} must begin with a slash and not end with one, such as '/pictures'")
    api = create_app(settings)
    app.mount(path, api)
    own_lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(outer: Starlette) -> AsyncIterator[Any]:
        async with api.router.lifespan_context(api), own_lifespan(outer) as state:
            yield state

    app.router.lifespan_context = lifespan
    return api


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Services]:
    """Everything that the routes work with, closed at the end; streams that are still open end first.

    Raises:
        SettingRejected: DARKROOM_HOME is no folder, anybody could order, or nobody could sign in.
    """
    if not settings.on_supabase:
        make_home(settings)
    async with open_parts(settings) as parts:
        await parts.client(None).open_local_account()
        services = put_together(parts, await open_counting(settings))
        await services.sign_in.check()
        try:
            yield services
        finally:
            await services.close()
            # After the last response: until then each gives back what it holds.
            await services.counting.close()
