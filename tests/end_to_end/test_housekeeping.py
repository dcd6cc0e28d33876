"""Housekeeping by its Temporal Schedule: what a terminated workflow leaves behind is mended, and counted."""

import re
import urllib.request
from uuid import UUID

import pytest
from temporalio.client import ScheduleOverlapPolicy

from darkroom.domain.names import HOUSEKEEPING_SCHEDULE, staging_key
from darkroom.domain.progress import JobStatus
from tests.support.ports import free_port
from tests.support.stacks.adapters import over_both_adapters
from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack
from tests.support.until import until

SLOW = {"OFFLINE_LATENCY": "0.3", "STAGE_CONCURRENCY": 3}
FAILED_JOBS, HOLDS, OBJECTS, DELETES, PURGED, FINDINGS = (
    "darkroom_housekeeping_failed_jobs",
    "darkroom_housekeeping_released_holds",
    "darkroom_housekeeping_removed_objects",
    "darkroom_housekeeping_finished_deletes",
    "darkroom_housekeeping_purged_jobs",
    "darkroom_audit_findings",
)


def counted(port: int) -> dict[str, float]:
    """Our own metrics, as Prometheus would read them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        name: float(number)
        for name, number in re.findall(r"^(darkroom_(?:housekeeping|audit)_\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE)
    }


async def tidied(darkroom: ProcessStack, port: int, metric: str, least: float) -> dict[str, float]:
    """Trigger the Schedule, and wait until it has counted so many; gives all that is counted."""
    await darkroom.temporal.get_schedule_handle(HOUSEKEEPING_SCHEDULE).trigger()

    async def so() -> bool:
        return counted(port).get(metric, -1) >= least

    await until(so, f"{metric} to be {least}")
    return counted(port)


async def in_the_middle(darkroom: ProcessStack, quantity: int) -> UUID:
    job_id = await darkroom.order(quantity)
    await darkroom.until_row(job_id, lambda row: row.completed_images >= 3, "the first pictures", 20)
    return job_id


@over_both_adapters
async def test_a_job_terminated_in_temporal_fails_gives_its_hold_back_and_can_be_restarted(
    darkroom: ProcessStack,
) -> None:
    port = free_port()
    await darkroom.worker.start({**SLOW, "METRICS_PORT": port})
    job_id = await in_the_middle(darkroom, 16)
    await darkroom.temporal_cli("terminate", "--reason", "by mistake", job_id=job_id)
    left = await darkroom.row(job_id)
    assert left.status is JobStatus.PROCESSING
    found = await tidied(darkroom, port, FAILED_JOBS, 1)
    assert found == {FAILED_JOBS: 1, HOLDS: 0, OBJECTS: 0, DELETES: 0, PURGED: 0, FINDINGS: 0}

    row = await darkroom.row(job_id)
    assert row.status is JobStatus.FAILED
    assert row.error_message == (
        f"its workflow was terminated in Temporal; `darkroom restart {job_id}` makes what is missing"
    )
    assert row.completed_images + row.failed_images == 16
    assert row.completed_images == len(darkroom.records.delivered(job_id))
    account = await darkroom.parts.records.account(darkroom.user)
    assert account is not None
    assert (account.held, account.balance) == (0, OPENING_BALANCE - PRICE * row.completed_images)

    restarted = await darkroom.starter("restart", str(job_id))
    assert restarted.status == 0, restarted.err
    await darkroom.until_row(job_id, lambda row: row.status is JobStatus.COMPLETED, "the rest", 30)
    receipt = await darkroom.receipt(job_id)
    assert (receipt.delivered, receipt.last_run.delivered) == (16, 16 - row.completed_images)
    await darkroom.check_invariants()

    # A worker that hung while its job ended wakes up and stages what nobody settles any more.
    await darkroom.parts.storage.put(staging_key(job_id, 0, 99), b"late", "image/png")
    found = await tidied(darkroom, port, OBJECTS, 1)
    assert found == {FAILED_JOBS: 1, HOLDS: 0, OBJECTS: 1, DELETES: 0, PURGED: 0, FINDINGS: 0}
    await darkroom.check_invariants()


@pytest.mark.slow
@pytest.mark.parametrize("point", ["FirstWorkflowTask", "LastWorkflowTask"])
async def test_a_job_that_was_reset_in_temporal_is_alive_and_ends_exactly(darkroom: ProcessStack, point: str) -> None:
    port = free_port()
    await darkroom.worker.start({**SLOW, "METRICS_PORT": port})
    job_id = await in_the_middle(darkroom, 16)
    await darkroom.temporal_cli("reset", "--type", point, "--reason", "another try", job_id=job_id)
    found = await tidied(darkroom, port, FINDINGS, 0)
    assert found[FAILED_JOBS] == 0
    receipt = await darkroom.receipt(job_id)
    assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 16)
    await darkroom.check_invariants()


async def test_what_the_audit_finds_is_in_the_metrics_until_it_is_mended(darkroom: ProcessStack) -> None:
    port = free_port()
    await darkroom.worker.start({"OFFLINE_LATENCY": "0", "METRICS_PORT": port})
    await darkroom.receipt(await darkroom.order(1))
    darkroom.records.plant("update quel_member set quel_member_credit = quel_member_credit - 1")
    assert (await tidied(darkroom, port, FINDINGS, 1))[FINDINGS] == 1
    assert len(darkroom.worker.events("audit finding")) == 1
    darkroom.records.plant("update quel_member set quel_member_credit = quel_member_credit + 1")
    # Buffered: while the look before is still ending, a trigger without this is skipped, and nobody looks again.
    schedule = darkroom.temporal.get_schedule_handle(HOUSEKEEPING_SCHEDULE)
    await schedule.trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE)

    async def mended() -> bool:
        return counted(port)[FINDINGS] == 0

    await until(mended, "nothing to be found any more")


@over_both_adapters
async def test_pictures_are_kept_as_long_as_the_setting_says(darkroom: ProcessStack) -> None:
    port = free_port()
    await darkroom.worker.start({"OFFLINE_LATENCY": "0", "METRICS_PORT": port, "KEEP_PICTURES_DAYS": 90})
    old, new = await darkroom.order(3), await darkroom.order(2)
    receipts = [await darkroom.receipt(job_id) for job_id in (old, new)]
    balance = await darkroom.balance()
    darkroom.records.plant(
        f"update quel_production_jobs set completed_at = '2020-01-01T00:00:00.000000+00:00' where job_id = '{old}'"
    )
    found = await tidied(darkroom, port, PURGED, 1)
    assert found == {FAILED_JOBS: 0, HOLDS: 0, OBJECTS: 0, DELETES: 0, PURGED: 1, FINDINGS: 0}
    keys = await darkroom.parts.storage.keys("generated-images/")
    assert [sum(str(job_id) in key for key in keys) for job_id in (old, new)] == [0, 2]
    assert [await darkroom.parts.records.receipt(job_id) for job_id in (old, new)] == receipts
    assert (await darkroom.row(old)).deleted_at is not None
    assert (await darkroom.row(new)).deleted_at is None
    assert await darkroom.parts.records.audit() == []
    assert await darkroom.balance() == balance == OPENING_BALANCE - 5 * PRICE
