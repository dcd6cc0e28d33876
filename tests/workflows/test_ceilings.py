"""A daily ceiling that is reached pauses the job as a spent quota does, with its reason, until the next day (UTC)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain.ceilings import day_of
from darkroom.domain.progress import JobStatus
from tests.support.fakes.gemini import FakeGemini
from tests.support.records.tables import SqliteTables
from tests.support.stacks.workflow import PRICE, WorkflowStack
from tests.support.until import until
from tests.workflows.test_gemini_job import gemini_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def until_spent(stack: WorkflowStack, job_id: UUID, delivered: int) -> str:
    """Why the job pauses until the next day, once so many are delivered.

    While the last of them is being recorded, its call is in progress: then it pauses for a minute first.
    """

    async def paused() -> bool:
        row = await stack.row(job_id)
        assert not row.status.ended
        return row.paused and row.completed_images == delivered

    async def reached() -> bool:
        return "is reached" in ((await stack.row(job_id)).pause_reason or "")

    await until(paused, "the pause")
    if not await reached():
        await stack.client.resume(job_id)
        await until(reached, "the pause until the next day")
    return (await stack.row(job_id)).pause_reason or ""


async def let_a_day_pass(stack: WorkflowStack) -> None:
    """For the records: Temporal's clock is another one."""
    records = stack.parts.records
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="microseconds")
    await SqliteTables(records).change(  # type: ignore[arg-type]  # the stack's are SQLite's
        "update quel_generation_attempts set started_at = :then", then=yesterday
    )


async def test_a_providers_ceiling_pauses_the_job_until_the_next_day(
    skipping_client: TemporalClient, home: Path
) -> None:
    limits: dict[str, Any] = {"provider_daily_usd": Decimal("0.12"), "provider_call_usd": Decimal("0.04")}
    async with (
        FakeGemini(then="billed") as fake,
        gemini_stack(skipping_client, home, fake, **limits) as stack,
    ):
        job_id = await stack.order(5)
        reason = await until_spent(stack, job_id, 3)
        _, midnight = day_of(datetime.now(UTC))
        reached = "gemini's daily ceiling of $0.12 (PROVIDER_DAILY_USD) is reached"
        assert reason == f"{reached}; it resets at {midnight:%Y-%m-%d} 00:00 UTC"
        assert fake.count == 3, "0.034005 each, and 0.04 for the next one"
        await let_a_day_pass(stack)
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered, fake.count) == (JobStatus.COMPLETED, 5, 5)
        await stack.check_invariants()


async def test_a_users_ceiling_pauses_the_job_until_the_next_day(skipping_client: TemporalClient, home: Path) -> None:
    limits: dict[str, Any] = {"user_daily_credits": 2 * PRICE + 1}
    async with (
        FakeGemini("billed-text", then="billed") as fake,
        gemini_stack(skipping_client, home, fake, **limits) as stack,
    ):
        job_id = await stack.order(4)
        reason = await until_spent(stack, job_id, 2)
        assert reason.startswith("the user's daily ceiling of 41 credits is reached; it resets at ")
        assert fake.count == 3, "the miss is free"
        await let_a_day_pass(stack)
        await stack.client.resume(job_id)
        receipt = await stack.client.result(job_id)
        assert (receipt.delivered, fake.count) == (4, 5)
        await stack.check_invariants()
