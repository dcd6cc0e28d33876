"""The application: routes, errors, and what passes before them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.staticfiles import StaticFiles
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware

from darkroom._version import __version__
from darkroom.api import document, problems
from darkroom.api.guarded_routes import LARGEST_REQUEST
from darkroom.api.request_guard import RequestGuard
from darkroom.api.root_path import RootPath, check_public
from darkroom.api.routes import archives, deployment, events, jobs, orders, pages, pictures, tables
from darkroom.api.services import Services
from darkroom.api.sign_in import sign_in_needed
from darkroom.api.turns import InTurns
from darkroom.domain.errors import SettingRejected
from darkroom.settings import Settings

_STATIC = Path(__file__).parent / "static"
_SWAGGER = Path(fastapi_offline.__file__).parent / "static"

_DESCRIPTION = """
Order generated pictures and follow them as they arrive. A job delivers **exactly** the number ordered and charges for
exactly those.

Authenticate with `Authorization: Bearer` and a Supabase access token or an API key from `darkroom keys create`. On
127.0.0.1 with the embedded default, no sign-in is needed. Errors are `application/problem+json`.
"""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_app(services: Services) -> FastAPI:
    """The application over the services; they are closed by whoever made them.

    Raises:
        SettingRejected: API_ROOT_PATH is a prefix that cannot be told from our own paths, or API_CORS_ORIGINS lets
            every site in where nobody signs in.
    """
    app = unopened_app(services.parts.settings)
    app.state.services = services
    return app


def unopened_app(settings: Settings, lifespan: Lifespan | None = None) -> FastAPI:
    """The application without services: it answers 503 until `app.state.services` is set.

    Raises:
        SettingRejected: as `make_app`.
    """
    local = not sign_in_needed(settings)
    if local and "*" in settings.api_cors_origins:
        raise SettingRejected(
            "API_CORS_ORIGINS=*: every site could order as the local user, because no sign-in is required; "
            "name the origins, or set API_HOST to another address to require sign-in"
        )
    app = FastAPI(
        title="Darkroom",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        lifespan=lifespan,
    )
    problems.install(app)
    for routes in (orders, tables, jobs, archives, events, pictures, deployment, pages):
        _summarise(routes.router)
        # `include_router` would build each of them anew for every application, most of the time that one takes.
        app.router.routes.extend(routes.router.routes)
    document.install(app, local=local)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return problems.templates.TemplateResponse(request, "docs.html")

    app.mount("/static/swagger", StaticFiles(directory=_SWAGGER), name="swagger")
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    # Inside the guard, so that what is too large is a problem like any other; routes may raise their own limit.
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=LARGEST_REQUEST)
    app.add_middleware(InTurns, limits=settings)
    app.add_middleware(RequestGuard, local=local, origins=settings.api_cors_origins)
    if settings.api_cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.api_cors_origins),
            allow_methods=["GET", "HEAD", "POST", "PATCH"],
            allow_headers=[
                *("Authorization", "Content-Type", "Idempotency-Key", "Prefer", "Last-Event-ID"),
                *("Range", "If-Range"),
            ],
            expose_headers=[
                *("Location", "X-Request-ID", "Retry-After"),
                *("Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "ETag"),
            ],
        )
    names = {str(route.path).split("/", 2)[1] for route in iter_route_contexts(app.routes)}
    check_public(settings.api_root_path, names)
    app.add_middleware(RootPath, public=settings.api_root_path, names=names)
    return app


def _summarise(router: APIRouter) -> None:
    """The first sentence of each route's docstring is its summary, in words rather than a function's name."""
    for route in router.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            words = " ".join((route.endpoint.__doc__ or "").split())
            route.summary = words.partition(". ")[0].rstrip(".")
