"""Ordering: a document becomes a job, once per idempotency key."""

import asyncio
import re
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Body, Header, Query, Request, Response
from pydantic import ValidatorFunctionWrapHandler, WrapValidator

from darkroom.api.guarded_routes import LARGEST_DOCUMENT, StrictRequest
from darkroom.api.order_bodies import OrderRoute, table_bodies
from darkroom.api.problems import Problem, documented
from darkroom.api.routes.waiting import waited
from darkroom.api.services import Changing, Services, Urls, Use
from darkroom.api.shapes import Quote, QuotedStage, SubmittedView
from darkroom.client.results import CheckedOrder
from darkroom.domain.deleting import DELETED
from darkroom.domain.formats import ImageFormat
from darkroom.domain.progress import JobStatus
from darkroom.domain.wallets import OrganizationAccount, PaidBy
from darkroom.orders import as_stored

router = APIRouter(prefix="/api/jobs", tags=["orders"], route_class=OrderRoute)

KEYS = UUID("6e1d1c1e-41a5-4c4b-8b0e-2d6a3c0d9a51")
"""The name space in which a user's Idempotency-Key becomes a job's id: the same key is the same job, in any process."""
LONGEST_WAIT = 60.0
LONGEST_SHOWN = 500
"""Characters of a prompt in a quote, which may have a thousand of them."""

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
    "table": {
        "summary": "A stage per row of a table",
        "value": {
            "prompt": "A {colour} {product} on a white table",
            "quantity": 2,
            "rows": [{"colour": "red", "product": "chair"}, {"colour": "green", "product": "lamp", "quantity": 3}],
        },
    },
    "storybook": {
        "summary": "A picture book",
        "value": {"style": "watercolor", "pages": [{"dialogues": ["On the hill stood a lamp."]}]},
    },
}


def _as_it_is(document: object, check: ValidatorFunctionWrapHandler) -> object:
    """A large document takes long to check, and what is in it is read off the event loop."""
    return document if type(document) is dict else check(document)


Document = Annotated[dict[str, Any], WrapValidator(_as_it_is), Body(openapi_examples=_EXAMPLES)]
_WITH_TABLES = {"requestBody": {"content": table_bodies()}}
PromptOfRows = Annotated[
    str | None,
    Query(
        alias="prompt",
        description="With a CSV body: the prompt of all rows, in which {colour} is replaced by each row's value in "
        "that column. Every other parameter is a value for all rows, too, such as quantity=2 or aspect_ratio=1:1.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Requests with the same key and body return the same job; use a new key for each order.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description="`wait=30` waits up to 30 seconds for the job to end; the maximum is 60.",
        examples=["wait=30"],
    ),
]


@router.post(
    "",
    status_code=202,
    max_body_size=LARGEST_DOCUMENT,
    responses=documented(402, 409, 413, 415, 422, 429),
    openapi_extra=_WITH_TABLES,
)
async def order(
    document: Document,
    response: Response,
    caller: Changing,
    use: Use,
    urls: Urls,
    *,
    request: Request,
    _prompt: PromptOfRows = None,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> SubmittedView:
    """Order pictures. The job is stored and started before the response is sent. A CSV body is a stage per row."""
    client = await use.client()
    job_id = uuid4() if idempotency_key is None else uuid5(KEYS, f"{caller.user_id} {idempotency_key}")
    existing = None if idempotency_key is None else await client.find(job_id)
    if existing is None:
        checked = await client.check(document, caller.user_id, own_only=not caller.operator)
        checked.ensure_affordable(use.parts.settings.prices)
        placing = use.quotas.placing(caller, checked, use.parts.settings.prices)
        taken = await client.submit(checked, job_id=job_id, storing=placing)
    elif existing.deleted_at is not None:
        raise Problem(409, f"job {job_id} {DELETED}; use a new Idempotency-Key to order it again")
    else:
        taken = await client.resubmit(existing)
    if taken.found and await _is_another(use, job_id, document):
        raise Problem(
            422,
            "this Idempotency-Key was used for a different order; use a new key for each order",
            code="idempotency_key_reused",
            field="Idempotency-Key",
        )
    seconds = _wait(prefer)
    assert isinstance(request, StrictRequest), "its route makes one"
    await request.give_turn_back()
    if seconds and await waited(use, caller, job_id, seconds):
        response.headers["Preference-Applied"] = f"wait={seconds:g}"
    status, completed_images = JobStatus.PENDING, 0
    if taken.found or seconds:
        row = await client.job(job_id)
        status, completed_images = row.status, row.completed_images
    of_job = urls.job(job_id, use.temporal_ui(job_id) if caller.operator else None)
    response.headers["Location"] = of_job.self
    return SubmittedView(
        job_id=job_id,
        status=status,
        found=taken.found,
        total_images=taken.total_images,
        completed_images=completed_images,
        warnings=taken.warnings,
        urls=of_job,
    )


@router.post(
    "/quote",
    max_body_size=LARGEST_DOCUMENT,
    responses=documented(413, 415, 422, 429),
    openapi_extra=_WITH_TABLES,
)
async def quote(document: Document, caller: Changing, use: Use, *, _prompt: PromptOfRows = None) -> Quote:
    """Get a quote: what an order costs, and whether the credits of whoever pays cover it. Nothing is created."""
    checked = await use.parts.client(None).check(document, caller.user_id, own_only=not caller.operator)
    return _quote(use, checked)


async def _is_another(use: Services, job_id: UUID, document: dict[str, Any]) -> bool:
    stored = (await use.parts.records.order_source(job_id)).document
    return await asyncio.to_thread(lambda: stored != as_stored(document))


def _quote(use: Services, checked: CheckedOrder) -> Quote:
    prices = use.parts.settings.prices
    stages = checked.order.stages
    parts = checked.credits_by_stage(prices)
    available = 0 if checked.account is None else checked.account.available
    payer = checked.account
    return Quote(
        images=checked.order.total_images,
        price=prices.k1,
        credits=sum(parts),
        available=available,
        paid_by=PaidBy(org_id=payer.org_id, name=payer.name) if isinstance(payer, OrganizationAccount) else None,
        enough=available >= sum(parts),
        stages=tuple(
            QuotedStage(
                stage_index=stage.stage_index,
                label=stage.label,
                prompt=_beginning(stage.prompt),
                quantity=stage.quantity,
                aspect_ratio=stage.aspect_ratio,
                image_size=stage.image_size,
                price=prices.of(stage.image_size),
                format=stage.format or ImageFormat.WEBP,
                references=tuple(ref.attach_id for ref in stage.references),
                credits=part,
            )
            for stage, part in zip(stages, parts, strict=True)
        ),
        warnings=checked.warnings,
    )


def _beginning(prompt: str) -> str:
    return prompt if len(prompt) <= LONGEST_SHOWN else f"{prompt[: LONGEST_SHOWN - 1]}…"


def _wait(prefer: str | None) -> float:
    asked = re.search(r"\bwait=(\d{1,9})\b", prefer or "")
    return min(float(asked[1]), LONGEST_WAIT) if asked else 0.0
