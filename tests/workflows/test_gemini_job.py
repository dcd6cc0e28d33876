"""Whole jobs through the real Gemini client, against a local server that speaks its wire format."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain.costs import Cause, CostOf
from darkroom.domain.progress import JobStatus
from darkroom.providers.gemini import GeminiProvider
from tests.support.fakes.gemini import FakeGemini
from tests.support.stacks.workflow import WorkflowStack, running_stack
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def gemini_stack(
    temporal: TemporalClient, home: Path, fake: FakeGemini, key: str | None = None, **limits: Any
) -> AsyncIterator[WorkflowStack]:
    """A stack whose only provider is Gemini, at the fake's address."""
    provider = GeminiProvider(
        api_key=key or fake.key,
        model="gemini-nano-banana-2.1",
        base_url=fake.url,
        api_version="v1beta",
        timeout=timedelta(seconds=10),
        max_concurrent=24,
    )
    settings: dict[str, Any] = {"gemini_api_key": key or fake.key, "image_provider": "gemini", "stage_concurrency": 1}
    async with running_stack(temporal, home, providers={"gemini": provider}, **settings, **limits) as stack:
        yield stack


async def test_gemini_draws_a_job(skipping_client: TemporalClient, home: Path) -> None:
    async with (
        FakeGemini("png", "finish:NO_IMAGE", "503", then="jpeg") as fake,
        gemini_stack(skipping_client, home, fake) as stack,
    ):
        job_id = await stack.order(4)
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 4)
        assert (receipt.total.misses, receipt.total.faults) == (1, 1)
        assert fake.count == receipt.total.provider_calls == 6
        look = await stack.parts.records.snapshot(job_id, None, 10)
        assert look is not None
        assert [(one.provider, one.model) for one in look.pictures] == [("gemini", "gemini-nano-banana-2.1")] * 4


async def test_a_job_tells_what_its_calls_cost_and_why(skipping_client: TemporalClient, home: Path) -> None:
    picture, words = Decimal("0.034005"), Decimal("0.001155")
    async with (
        FakeGemini("billed", "billed-undecodable", "billed-text", "503", "dropped-at-once", then="billed") as fake,
        gemini_stack(skipping_client, home, fake) as stack,
    ):
        job_id = await stack.order(3)
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 3)
        costs = receipt.total.costs
        assert costs is not None
        assert costs.by_cause == {
            Cause.DELIVERED: CostOf(calls=3, usd=3 * picture),
            Cause.MISSED: CostOf(calls=2, usd=picture + words),
            Cause.FAULT: CostOf(calls=2, unknown=1),
        }
        assert fake.count == 7
        await stack.check_invariants()


async def test_a_wrong_key_stops_the_job_with_the_setting_to_mend(skipping_client: TemporalClient, home: Path) -> None:
    async with FakeGemini(then="png") as fake, gemini_stack(skipping_client, home, fake, key="wrong-key") as stack:
        job_id = await stack.order(3)
        receipt = await stack.client.result(job_id)
        assert receipt.status is JobStatus.FAILED
        assert "GEMINI_API_KEY" in ((await stack.row(job_id)).error_message or "")
        assert receipt.delivered == 0
        await stack.check_invariants()


async def test_a_blocked_prompt_stops_its_stage(skipping_client: TemporalClient, home: Path) -> None:
    async with (
        FakeGemini(then="blocked:PROHIBITED_CONTENT") as fake,
        gemini_stack(skipping_client, home, fake) as stack,
    ):
        receipt = await stack.client.result(await stack.order(3))
        assert (receipt.status, receipt.total.refusals) == (JobStatus.FAILED, 1)
        assert "PROHIBITED_CONTENT" in receipt.missing[0].reason


async def test_a_spent_daily_quota_pauses_and_resume_lifts_it(skipping_client: TemporalClient, home: Path) -> None:
    async with FakeGemini("png", "429-per-day", then="png") as fake, gemini_stack(skipping_client, home, fake) as stack:
        job_id = await stack.order(3)

        async def paused() -> bool:
            row = await stack.row(job_id)
            return row.paused or row.status.ended

        # The server skips the wait until midnight, so the pause may be over before we look.
        await until(paused, "the pause, or the end after it")
        receipt = await stack.client.result(job_id)
        assert receipt.delivered == 3
        assert fake.count == 4
