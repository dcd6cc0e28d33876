"""Ordering: a document becomes a job, once for each key."""

import re
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Body, Header, Response

from darkroom.api.problems import Problem, documented
from darkroom.api.routes.waiting import until_ended
from darkroom.api.services import Changing, Services, SignedIn, Urls, Use
from darkroom.api.shapes import Quote, QuotedStage, SubmittedView
from darkroom.api.sign_in import Caller
from darkroom.domain.money import insufficient
from darkroom.domain.orders import Order
from darkroom.domain.rounds import allot
from darkroom.orders import ReadOrder

router = APIRouter(prefix="/api/jobs", tags=["orders"])

KEYS = UUID("6e1d1c1e-41a5-4c4b-8b0e-2d6a3c0d9a51")
"""The name space in which a user's Idempotency-Key becomes a job's id: the same key is the same job, in any process."""
LONGEST_WAIT = 60.0

_EXAMPLES = {
    "stages": {
        "summary": "Two stages",
        "value": {
            "stages": [
                {"prompt": "A lemon on a table, morning light", "quantity": 2, "aspect-ratio": "16:9"},
                {"prompt": "The same lemon, painted by a child", "quantity": 3},
            ]
        },
    },
    "storybook": {
        "summary": "A picture book",
        "value": {"style": "watercolor", "pages": [{"dialogues": ["On the hill stood a lamp."]}]},
    },
}
Document = Annotated[dict[str, Any], Body(openapi_examples=_EXAMPLES)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key and body finds the same job; use a new one for each order.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer", description="`wait=30` waits so many seconds, 60 at most, for the end.", examples=["wait=30"]
    ),
]


@router.post("", status_code=202, responses=documented(402, 413, 415, 422, 429))
async def order(
    document: Document,
    response: Response,
    caller: Changing,
    use: Use,
    urls: Urls,
    *,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> SubmittedView:
    """Order pictures. The job is stored and started when the answer comes."""
    client = await use.client()
    job_id = uuid4() if idempotency_key is None else uuid5(KEYS, f"{caller.user_id} {idempotency_key}")
    if await use.parts.records.job(job_id) is None:
        await _afford(use, caller, (await client.check(document, caller.user_id)).order)
    taken = await client.submit(document, job_id=job_id, user_id=caller.user_id)
    if taken.found and (await use.parts.records.order_source(job_id)).document != document:
        raise Problem(
            422,
            "this Idempotency-Key has ordered something else; use a new key for a new order",
            code="idempotency_key_reused",
            field="Idempotency-Key",
        )
    seconds = _wait(prefer)
    if seconds:
        await until_ended(use, job_id, seconds)
        response.headers["Preference-Applied"] = f"wait={seconds:g}"
    row = await client.job(job_id)
    of_job = urls.job(job_id, use.temporal_ui(job_id))
    response.headers["Location"] = of_job.self
    return SubmittedView(
        job_id=job_id,
        status=row.status,
        found=taken.found,
        total_images=row.total_images,
        completed_images=row.completed_images,
        warnings=taken.warnings,
        urls=of_job,
    )


@router.post("/quote", responses=documented(413, 415, 422))
async def quote(document: Document, caller: SignedIn, use: Use) -> Quote:
    """Say what an order costs and whether the credits are there. Nothing is created."""
    read = await use.parts.client(None).check(document, caller.user_id)
    return await _quote(use, caller, read)


async def _quote(use: Services, caller: Caller, read: ReadOrder) -> Quote:
    price = use.parts.settings.image_credit_price
    quantities = [stage.quantity for stage in read.order.stages]
    parts = allot(quantities, read.order.max_credits, price)
    account = await use.parts.records.account(caller.user_id)
    available = 0 if account is None else account.available
    return Quote(
        images=read.order.total_images,
        price=price,
        credits=sum(parts) * price,
        available=available,
        enough=available >= sum(parts) * price,
        stages=tuple(
            QuotedStage(stage_index=stage.stage_index, quantity=stage.quantity, credits=part * price)
            for stage, part in zip(read.order.stages, parts, strict=True)
        ),
        warnings=tuple(f"{key}: is not a known key, ignored" for key in read.unknown_keys),
    )


async def _afford(use: Services, caller: Caller, wanted: Order) -> None:
    """Say at once what opening the job would say a moment later.

    Raises:
        Problem: 402.
    """
    quoted = await _quote(use, caller, ReadOrder(order=wanted))
    if not quoted.enough:
        raise Problem(402, f"{insufficient(quoted.credits, quoted.available)}; order less, or grant credits")


def _wait(prefer: str | None) -> float:
    asked = re.search(r"\bwait=(\d{1,9})\b", prefer or "")
    return min(float(asked[1]), LONGEST_WAIT) if asked else 0.0
