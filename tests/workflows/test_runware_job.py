"""Whole jobs through the real Runware provider, against a local server that speaks its wire format."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain.progress import JobStatus
from darkroom.providers.runware import RunwareProvider
from tests.support.fakes.runware import FakeRunware
from tests.support.stacks.workflow import WorkflowStack, running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def runware_stack(
    temporal: TemporalClient, home: Path, fake: FakeRunware, key: str | None = None, **more: Any
) -> AsyncIterator[WorkflowStack]:
    """A stack whose only provider is Runware, at the fake's address."""
    provider = RunwareProvider(
        api_key=key or fake.key,
        model="google:nano-banana@2.1",
        base_url=fake.url,
        timeout=timedelta(seconds=10),
        max_concurrent=24,
    )
    settings: dict[str, Any] = {"runware_api_key": key or fake.key, "stage_concurrency": 1, **more}
    async with running_stack(
        temporal, home, providers={"runware": provider}, **{"image_provider": "runware", **settings}
    ) as stack:
        yield stack


async def test_runware_draws_a_job_through_a_miss_a_fault_and_a_rate_limit(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with (
        FakeRunware("png", "no-picture", "503", "429", "data-and-errors", then="jpeg") as fake,
        runware_stack(skipping_client, home, fake) as stack,
    ):
        job_id = await stack.order(4)
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 4)
        assert (receipt.total.misses, receipt.total.faults) == (1, 2)
        assert fake.count == receipt.total.provider_calls == 7
        assert len({call.uuid for call in fake.received}) == 7
        await stack.check_invariants()


async def test_an_order_may_name_runware(skipping_client: TemporalClient, home: Path) -> None:
    async with FakeRunware() as fake, runware_stack(skipping_client, home, fake) as stack:
        receipt = await stack.client.result(await stack.order(2, provider="runware"))
        assert (receipt.status, receipt.delivered, fake.count) == (JobStatus.COMPLETED, 2, 2)


async def test_a_wrong_key_stops_the_job_with_the_setting_to_mend(skipping_client: TemporalClient, home: Path) -> None:
    async with FakeRunware() as fake, runware_stack(skipping_client, home, fake, key="wrong-key") as stack:
        job_id = await stack.order(3)
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.FAILED, 0)
        told = (await stack.row(job_id)).error_message or ""
        assert "RUNWARE_API_KEY" in told
        assert "wrong-key" not in told
        await stack.check_invariants()


async def test_credits_that_run_out_stop_the_job_and_what_was_drawn_is_delivered(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with FakeRunware("png", then="402") as fake, runware_stack(skipping_client, home, fake) as stack:
        job_id = await stack.order(3)
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.FAILED, 1)
        assert "add credits" in ((await stack.row(job_id)).error_message or "")
        await stack.check_invariants()


async def test_a_request_runware_rejects_stops_its_stage_at_once(skipping_client: TemporalClient, home: Path) -> None:
    async with (
        FakeRunware(then="error:invalidWidth/width") as fake,
        runware_stack(skipping_client, home, fake) as stack,
    ):
        receipt = await stack.client.result(await stack.order(3))
        assert (receipt.status, receipt.total.refusals, fake.count) == (JobStatus.FAILED, 1, 1)
        assert "invalidWidth" in receipt.missing[0].reason


async def test_a_blocked_prompt_stops_its_stage_at_the_third_refusal(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with (
        FakeRunware(then="error:promptBlocked") as fake,
        runware_stack(skipping_client, home, fake) as stack,
    ):
        receipt = await stack.client.result(await stack.order(5))
        assert (receipt.status, receipt.total.refusals, fake.count) == (JobStatus.FAILED, 3, 3)
        assert "promptBlocked" in receipt.missing[0].reason
