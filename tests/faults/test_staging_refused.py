"""A staging folder that refuses: the job stops at once, and what is paid for is delivered by a restart (spec §3)."""

import errno
from pathlib import Path

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain.progress import JobStatus
from tests.support.stacks.watching import BrokenFolder
from tests.support.stacks.workflow import PRICE, running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_refusing_staging_folder_stops_the_job_and_a_restart_pays_for_nothing_twice(
    concurrency: int, skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = BrokenFolder(monkeypatch, errno.EACCES, "/staging/")
    async with running_stack(skipping_client, home, stage_concurrency=concurrency) as stack:
        provider = stack.provider
        provider.gate.clear()
        job_id = await stack.order(6)
        await provider.until_calls(concurrency)
        provider.gate.set()
        receipt = await stack.end_of(job_id)
        row = await stack.row(job_id)
        assert (receipt.status, receipt.delivered, receipt.total.charged) == (JobStatus.FAILED, 0, 0)
        assert "staging" in (row.error_message or "")
        assert "permissions" in (row.error_message or "")
        assert provider.total_calls == concurrency
        assert (receipt.total.provider_calls, receipt.total.unknown_calls) == (concurrency, 0)
        assert await stack.parts.records.audit() == []

        staging.mended = True
        await stack.client.restart(job_id)
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered, receipt.total.charged) == (JobStatus.COMPLETED, 6, 6 * PRICE)
        assert provider.calls == {(0, n): 1 for n in range(6)}
        assert receipt.total.unknown_calls == 0
        await stack.check_invariants()


async def test_a_restart_before_the_folder_is_mended_stops_again_without_a_call(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = BrokenFolder(monkeypatch, errno.EACCES, "/staging/")
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.order(2)
        await stack.end_of(job_id)
        await stack.client.restart(job_id)
        receipt = await stack.end_of(job_id)
        assert receipt.status is JobStatus.FAILED
        assert "permissions" in (receipt.error_message or "")
        assert stack.provider.total_calls == 1
        staging.mended = True
        await stack.client.restart(job_id)
        receipt = await stack.end_of(job_id)
        assert receipt.delivered == 2
        assert stack.provider.calls == {(0, 0): 1, (0, 1): 1}
        await stack.check_invariants()
