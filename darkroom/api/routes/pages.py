"""The page: rendered with what the server knows, so that it says something before any script runs."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from darkroom.api.job_lists import read_day
from darkroom.api.problems import Problem, templates
from darkroom.api.public_urls import PublicUrls
from darkroom.api.root_path import path_of, url_to
from darkroom.api.routes import jobs as job_routes
from darkroom.api.routes.deployment import account_of, statistics_for
from darkroom.api.routes.jobs import JobId, restarted, steer
from darkroom.api.services import Services, Urls, Use, counted, identified, recognised, session_opened
from darkroom.api.shapes import OrderedDocument
from darkroom.api.sign_in import COOKIE, Caller, Presented, session_of
from darkroom.api.strips import MOST_SHOWN, strips_of
from darkroom.api.views import read_by
from darkroom.client.jobs import Client
from darkroom.client.results import ControlResult
from darkroom.domain.finding import LONGEST_SEARCH
from darkroom.domain.orders import Stage
from darkroom.domain.sentences import how_it_stands, what_goes

router = APIRouter(include_in_schema=False)
LISTED = 50


async def visitor(request: Request) -> Caller:
    """The caller who opens a page; without sign-in they are sent to the sign-in page.

    Raises:
        Problem: 303 to the sign-in page.
    """
    try:
        caller = await recognised(request)
    except Problem as problem:
        if problem.status != 401:
            raise
        query = f"?{request.url.query}" if request.url.query else ""
        # What a button asked for is not asked again by a link.
        target = url_to(request.scope, path_of(request.scope) + query if request.method == "GET" else "/")
        sign_in = url_to(request.scope, f"/sign-in?next={quote(target, safe='/')}")
        raise Problem(303, problem.detail, headers={"Location": sign_in}) from problem
    return caller


Visitor = Annotated[Caller, Depends(visitor)]


async def _page(request: Request, use: Services, caller: Caller | None, name: str, **context: Any) -> HTMLResponse:
    account = None if caller is None else (await account_of(use, caller)).model_dump(mode="json")
    shown = {"account": account, **context}
    return templates.TemplateResponse(request, name, shown, headers={"Cache-Control": "no-store"})


@router.get("/")
async def order_page(request: Request, caller: Visitor, use: Use) -> HTMLResponse:
    return await _page(request, use, caller, "order.html")


@router.get("/jobs")
async def jobs_page(
    request: Request,
    caller: Visitor,
    use: Use,
    urls: Urls,
    *,
    status: str = "",
    search: Annotated[str, Query(max_length=LONGEST_SEARCH)] = "",
    day: str = "",
    cursor: str | None = None,
) -> HTMLResponse:
    # A form sends what was left empty as well.
    page = await job_routes.jobs(
        caller, use, urls, status=status or None, search=search, day=read_day(day), limit=LISTED, cursor=cursor
    )
    narrowed = {"status": status, "search": search.strip(), "day": day}
    return await _page(request, use, caller, "jobs.html", page=page.model_dump(mode="json"), narrowed=narrowed)


@router.get("/jobs/{job_id}")
async def job_page(request: Request, job_id: JobId, caller: Visitor, use: Use, urls: Urls) -> HTMLResponse:
    await use.job(job_id, caller)
    stages, ordered = await _ordered(job_id, caller, use, urls)
    # One reading for all of it: numbers and frames that agree.
    feed = await use.feeds.once(job_id)
    view = read_by(feed.job(urls), operator=caller.operator)
    job: dict[str, Any] = view.model_dump(mode="json")
    shown_strips = [] if view.deleted_at else strips_of(feed, stages, ordered.references, urls)
    strips: Any = [read_by(strip, operator=caller.operator).model_dump(mode="json") for strip in shown_strips]
    shown = {"job": job, "strips": strips}
    state = {**shown, "known": feed.known}
    return await _page(
        request, use, caller, "job.html", **shown, sentence=how_it_stands(view), state=state, most_shown=MOST_SHOWN
    )


async def _ordered(
    job_id: UUID, caller: Caller, use: Services, urls: PublicUrls
) -> tuple[tuple[Stage, ...], OrderedDocument]:
    """What was ordered; nothing, where a front end stored an invalid order: such a job has failed and says why."""
    try:
        return await job_routes.order_of(use, caller, job_id, urls)
    except Problem as problem:
        if problem.status != 409:
            raise
        return (), OrderedDocument(document={}, references={})


@router.post("/jobs/{job_id}/rename")
async def rename_by_form(
    request: Request, job_id: JobId, caller: Visitor, use: Use, name: Annotated[str, Form(max_length=1_000)] = ""
) -> Response:
    """The form for a name, where no script runs."""
    await counted(request)
    await use.job(job_id, caller)
    await use.parts.client(None, use.workers).rename(job_id, name)
    return RedirectResponse(url_to(request.scope, f"/jobs/{job_id}"), 303)


@router.get("/jobs/{job_id}/delete")
async def delete_page(request: Request, job_id: JobId, caller: Visitor, use: Use) -> HTMLResponse:
    """What deleting a job would remove, where no script runs."""
    found = await job_routes.deletion(job_id, caller, use)
    shown = {"deletion": found.model_dump(mode="json"), "deletion_sentence": what_goes(found)}
    return await _page(request, use, caller, "delete.html", **shown)


@router.post("/jobs/{job_id}/delete")
async def delete_by_form(request: Request, job_id: JobId, caller: Visitor, use: Use) -> Response:
    """The button of that page."""
    await counted(request)
    await job_routes.delete(job_id, caller, use)
    return RedirectResponse(url_to(request.scope, "/jobs"), 303)


@router.post("/jobs/{job_id}/{action}")
async def steer_by_form(request: Request, job_id: JobId, action: str, caller: Visitor, use: Use) -> Response:
    """What the buttons do where no script runs."""
    controls: dict[str, Callable[[Client], Awaitable[ControlResult]]] = {
        "cancel": lambda client: client.cancel(job_id, "cancelled on the page"),
        "pause": lambda client: client.pause(job_id, None),
        "resume": lambda client: client.resume(job_id),
    }
    if action != "restart" and action not in controls:
        raise Problem(404, f"a job has no action {action[:40]}")
    await counted(request)
    if action == "restart":
        await restarted(use, caller, job_id)
    else:
        await steer(use, caller, job_id, controls[action])
    return RedirectResponse(url_to(request.scope, f"/jobs/{job_id}"), 303)


@router.get("/stats")
async def stats_page(
    request: Request, caller: Visitor, use: Use, days: Annotated[int, Query(ge=1, le=365)] = 14
) -> HTMLResponse:
    found = await statistics_for(use, caller, days)
    shown = {"statistics": found.model_dump(mode="json"), "credit_usd": use.parts.settings.credit_usd}
    return await _page(request, use, caller, "stats.html", days=days, **shown)


@router.get("/sign-in")
async def sign_in_page(request: Request, use: Use, next: str = "") -> Response:  # noqa: A002 - the usual name
    # Browsers keep one cookie for all ports of a machine, and send that of `/` everywhere: one of another deployment
    # must not lock the local user out.
    session = session_of(request)
    if not use.sign_in.needed and session is not None and not await _opens(request, session):
        return _without_cookie(_inside(request, next), {"/", _cookie_path(request)})
    return await _page(request, use, None, "sign_in.html", next=_inside(request, next), failed=False)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    use: Use,
    token: Annotated[str, Form(max_length=10_000)] = "",
    next: Annotated[str, Form(max_length=2_000)] = "",  # noqa: A002
) -> Response:
    """Exchange a key or token for a session, in a cookie that no script can read."""
    try:
        session = await session_opened(request, token.strip() or "-")
    except Problem as problem:
        if problem.status != 401:
            raise
        page = await _page(request, use, None, "sign_in.html", next=_inside(request, next), failed=True)
        page.status_code = 401
        return page
    await _end_session(request, use)
    response = RedirectResponse(_inside(request, next), 303)
    # What the browser says: a proxy that ends TLS may be one that uvicorn does not take the scheme from.
    secure = "https" in (request.url.scheme, request.headers.get("origin", "").partition(":")[0])
    path = _cookie_path(request)
    response.set_cookie(COOKIE, session, httponly=True, samesite="lax", secure=secure, path=path)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, use: Use) -> Response:
    """End the session, with all that is open in it."""
    await _end_session(request, use)
    return _without_cookie(url_to(request.scope, "/sign-in"), {_cookie_path(request)})


def _without_cookie(where: str, paths: Iterable[str]) -> Response:
    response = RedirectResponse(where, 303)
    for path in paths:
        response.delete_cookie(COOKIE, httponly=True, samesite="lax", path=path)
    return response


def _cookie_path(request: Request) -> str:
    """Ours alone: what else the host serves has no business with the session."""
    return url_to(request.scope, "").rstrip("/") or "/"


async def _end_session(request: Request, use: Services) -> None:
    session = session_of(request)
    if session is not None:
        await use.sign_in.end_session(session)


async def _opens(request: Request, session: str) -> bool:
    """Whether a session is open."""
    try:
        await identified(request, Presented(session, in_cookie=True))
    except Problem as problem:
        if problem.status != 401:
            raise
        return False
    return True


def _inside(request: Request, target: str) -> str:
    """A path of ours, wherever a link leads."""
    home = url_to(request.scope, "/")
    inside = target.startswith(home) and not target.startswith("//")
    return target if inside and target.isprintable() and "\\" not in target else home
