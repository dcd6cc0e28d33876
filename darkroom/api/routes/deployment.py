"""The deployment: the caller's account, statistics and health checks."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Query, Request
from temporalio.service import RPCError

from darkroom.api.guarded_routes import GuardedRoute
from darkroom.api.problems import Problem, documented, unavailable
from darkroom.api.services import Services, SignedIn, Use, recognised
from darkroom.api.shapes import AccountView, LimitsView, OrganizationView, ProviderView
from darkroom.api.sign_in import Caller
from darkroom.client.temporal_faults import explained
from darkroom.domain.errors import DarkroomError
from darkroom.domain.formats import ImageSize
from darkroom.domain.model import Value
from darkroom.domain.money import Account
from darkroom.domain.sentences import without_worker
from darkroom.domain.statistics import Statistics

log = structlog.get_logger("darkroom.api")

router = APIRouter(tags=["deployment"], route_class=GuardedRoute)


class Health(Value):
    """The process is running."""

    status: Literal["ok"] = "ok"


class Readiness(Value):
    """The process and everything it depends on are available."""

    status: Literal["ready"] = "ready"
    records: Literal["ok"] = "ok"
    temporal: Literal["ok"] = "ok"
    workers: Literal["ok"] = "ok"


@router.get("/api/account", responses=documented())
async def account(caller: SignedIn, use: Use) -> AccountView:
    """Get your account: identity, credits, providers and limits."""
    return await account_of(use, caller)


async def account_of(use: Services, caller: Caller) -> AccountView:
    """The account of a caller; one without a member row has nothing."""
    settings = use.parts.settings
    found = await use.parts.records.account(caller.user_id) or Account(user_id=caller.user_id, balance=0, held=0)
    there = await use.parts.ordering.providers()
    organizations = await use.parts.records.organizations(caller.user_id)
    return AccountView(
        user_id=caller.user_id,
        operator=caller.operator,
        signed_in_by=caller.by,
        balance=found.balance,
        held=found.held,
        available=found.available,
        organizations=tuple(OrganizationView(**one.model_dump(), available=one.available) for one in organizations),
        price=settings.image_credit_price,
        prices={size: settings.prices.of(size) for size in ImageSize},
        image_format=settings.image_format,
        providers=tuple(
            ProviderView(
                name=name,
                aspect_ratios=can.aspect_ratios,
                max_references=can.max_references,
                image_sizes=can.image_sizes,
                default=name in there.default,
            )
            for name, can in there.capabilities.items()
        ),
        limits=LimitsView(**settings.limits.model_dump()),
    )


@router.get("/api/stats", responses=documented())
async def stats(
    caller: SignedIn,
    use: Use,
    days: Annotated[int, Query(ge=1, le=3650, description="Days, including today (UTC).")] = 7,
) -> Statistics:
    """Get daily statistics of provider calls, their cost, and ended jobs. Operators only."""
    return await statistics_for(use, caller, days)


async def statistics_for(use: Services, caller: Caller, days: int) -> Statistics:
    """Statistics, if the caller may see them.

    Raises:
        Problem: 403, they cover all users.
    """
    if not caller.operator:
        raise Problem(403, "statistics cover all users: sign in with an operator's key")
    found = await use.parts.records.statistics((datetime.now(UTC) - timedelta(days=days - 1)).date())
    return found.drawn_up(use.parts.settings.credit_usd)


@router.get("/healthz")
async def healthz() -> Health:
    """Check that the process is running. Its dependencies are not checked."""
    return Health()


@router.get("/readyz", responses={503: documented()[503]})
async def readyz(request: Request, use: Use) -> Readiness:
    """Check that jobs can be ordered and delivered. Only operators, and the log, are told what prevents it."""
    try:
        return await _ready(use)
    except Problem as problem:
        log.warning("not ready", reason=problem.detail)
        if await _is_operator(request):
            raise
        raise unavailable("not ready; try again in a minute") from problem


async def _is_operator(request: Request) -> bool:
    """Whether an operator asks; nobody is one while that cannot be told."""
    try:
        return (await recognised(request)).operator
    except (Problem, DarkroomError):
        return False


async def _ready(use: Services) -> Readiness:
    """Records and Temporal respond, the disk has room, and workers serve all task queues.

    Raises:
        Problem: 503, in an operator's words.
    """
    full = use.parts.full_disk()
    if full is not None:
        raise unavailable(full)
    try:
        await use.parts.records.api_key("")
        client = await use.temporal.client()
        await client.service_client.check_health(timeout=timedelta(seconds=2))
    except RPCError as error:
        raise unavailable(f"the Temporal server returned an error: {explained(error)}") from error
    except DarkroomError as error:
        raise unavailable(str(error)) from error
    lacking = without_worker(await use.workers.look())
    if lacking:
        raise unavailable(lacking)
    return Readiness()
