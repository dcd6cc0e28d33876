"""Errors as `application/problem+json` (RFC 9457): one line that names the thing, the reason and the remedy."""

import http
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from temporalio.service import RPCError, RPCStatusCode

from darkroom.api.root_path import path_of, prefix_of, url_to
from darkroom.client.temporal_faults import explained
from darkroom.domain.customers_words import in_customers_words
from darkroom.domain.errors import (
    DarkroomError,
    ExportRejected,
    InsufficientCredits,
    JobNotFound,
    OrderRejected,
    RecordsRefused,
    Retryable,
    ServerNotReachable,
    SettingRejected,
    StorageRefused,
    StorageUnavailable,
)
from darkroom.domain.wording import reason_of
from darkroom.orders.json_text import in_words

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"


def _of_request(request: Request) -> dict[str, object]:
    """What every template has: the prefix, the function that makes URLs, and the path, for what is current."""
    return {
        "prefix": prefix_of(request.scope),
        "at": partial(url_to, request.scope),
        "path": path_of(request.scope),
    }


templates = Jinja2Templates(Path(__file__).parent / "templates", context_processors=[_of_request])

RETRY_AFTER = 5
"""Seconds after which a client may retry what an outage prevented."""

_INTERNAL = "internal error; the server's log has the details under this request_id"

_COME_BACK = "the service is temporarily unavailable; try again in a minute"

_CODES = {
    400: "bad_request",
    401: "not_signed_in",
    402: "insufficient_credits",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "not_possible_now",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "order_rejected",
    429: "too_many_requests",
    503: "unavailable",
}


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    code: str = Field(description="A stable identifier, for programs.")
    detail: str = Field(description="What is wrong and what to do, for people.")
    field: str | None = Field(default=None, description="The parameter or field that is wrong.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    request_id: str


class Problem(Exception):
    """A request that cannot be served."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        field: str | None = None,
        retryable: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code or _CODES.get(status, "error")
        self.field = field
        self.retryable = retryable
        self.headers = dict(headers or {})

    def document(self, request_id: str, *, operator: bool = False) -> ProblemDocument:
        """The response body."""
        return ProblemDocument(
            title=self.code.replace("_", " ").capitalize(),
            status=self.status,
            code=self.code,
            detail=self.detail if operator else in_customers_words(self.detail),
            field=self.field,
            retryable=self.retryable,
            request_id=request_id,
        )


class BodyRejected(HTTPException):
    """A body that cannot be read. FastAPI lets nothing but its own exceptions through while it reads one."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status, problem.detail)
        self.problem = problem


def unavailable(detail: str) -> Problem:
    """A dependency is temporarily unavailable."""
    return Problem(503, detail, retryable=True, headers={"Retry-After": str(RETRY_AFTER)})


class _OutOfOrder(Problem):
    """A part does not answer. Operators are told which and what to do, everybody else to come back."""

    def __init__(self, reason: str) -> None:
        super().__init__(503, reason, retryable=True, headers={"Retry-After": str(RETRY_AFTER)})

    def document(self, request_id: str, *, operator: bool = False) -> ProblemDocument:
        """The response body."""
        found = super().document(request_id, operator=operator)
        return found if operator else found.model_copy(update={"detail": _COME_BACK})


def problem_of(error: Exception) -> Problem:
    """The problem that an error is to a client."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, BodyRejected):
        return error.problem
    if isinstance(error, RPCError):
        return _of_temporal(error)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, str(error.detail), headers=error.headers)
    if isinstance(error, DarkroomError):
        return _of_darkroom(error)
    return Problem(500, _INTERNAL, code="internal")


def _of_darkroom(error: DarkroomError) -> Problem:
    match error:
        case OrderRejected() | ExportRejected():
            return Problem(422 if isinstance(error, OrderRejected) else 400, str(error), field=error.field)
        case JobNotFound():
            return Problem(404, "there is no such job, or it is not yours")
        case ServerNotReachable():
            return _OutOfOrder(str(error))
        case Retryable():
            # Where they are kept is for the log only: clients need not know.
            log.warning("records or storage unavailable", reason=str(error))
            what = "the storage is" if isinstance(error, StorageUnavailable) else "the records are"
            return unavailable(f"{what} temporarily unavailable; try again in a few seconds")
        case RecordsRefused() | StorageRefused() | SettingRejected():
            log.error("request failed", reason=str(error))
            return Problem(500, _INTERNAL, code="internal")
        case _:
            return Problem(402 if isinstance(error, InsufficientCredits) else 409, str(error))


def _of_temporal(error: RPCError) -> Problem:
    if error.status is RPCStatusCode.NOT_FOUND:
        return Problem(409, "the job's workflow was not found: it has just ended, or was deleted")
    return _OutOfOrder(f"the Temporal server returned an error: {explained(error)}")


def of_validation(error: RequestValidationError) -> Problem:
    """The first thing that is wrong with a request's parameters or body."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":  # its place is a position in the text, not a field
        reason = in_words(first["ctx"]["error"])
        return Problem(400, f"body: is not valid JSON: {reason}, character {first['loc'][-1] + 1:,}", field="body")
    where = ".".join(str(step) for step in first["loc"][1:]) or str(first["loc"][0])
    return Problem(400, f"{where}: {reason_of(first)}", field=where)


def answer(problem: Problem, request: Request) -> Response:
    """The response that carries a problem: a document for programs, a page for browsers."""
    state = request.scope.get("state", {})
    document = problem.document(state.get("request_id", "-"), operator=state.get("operator", False))
    content = document.model_dump(exclude_none=True)
    if _from_a_browser(request) and problem.status >= 400:
        context = {"problem": content, "account": None}
        headers = {**problem.headers, "Cache-Control": "no-store"}
        return templates.TemplateResponse(request, "problem.html", context, problem.status, headers=headers)
    return JSONResponse(content, problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def _from_a_browser(request: Request) -> bool:
    for_programs = path_of(request.scope).startswith(("/api/", "/openapi.json", "/healthz", "/readyz"))
    return not for_programs and "text/html" in request.headers.get("accept", "")


def install(app: FastAPI) -> None:
    """Let every error of the API leave as a problem document."""

    async def known(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem.status == 503:
            # A full disk or an outage is the operator's to know, not only the client's.
            log.warning("request not served", path=request.url.path, reason=problem.detail)
        if problem.status == 405:
            problem.headers["Allow"] = ", ".join(sorted(_allowed(app, path_of(request.scope))))
        return answer(problem, request)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(of_validation(error), request)

    async def unknown(request: Request, error: Exception) -> Response:
        log.error("request failed", path=request.url.path, exc_info=error)
        return answer(problem_of(error), request)

    for kind in (Problem, DarkroomError, RPCError, HTTPException):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unknown)


def _allowed(app: FastAPI, path: str) -> set[str]:
    """The methods of a path. Each method is a route of its own, and only the first one is asked when none fits."""
    return {
        method
        for route in iter_route_contexts(app.routes)
        if route.methods and route.path_regex.match(path)
        for method in route.methods
    }


def documented(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The problems that a route may answer with, for its OpenAPI description."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {
        status: {"model": ProblemDocument, "description": http.HTTPStatus(status).phrase, "content": content}
        for status in sorted({400, 401, 403, 503, *statuses})
    }
