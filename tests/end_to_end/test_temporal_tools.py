"""What Temporal's own command line shows of a job (spec §6)."""

import re
from uuid import UUID

import pytest

from darkroom.domain.names import LOCAL_USER, job_workflow_id
from darkroom.domain.progress import Progress
from tests.support.histories import check_histories, children, histories, labels
from tests.support.stacks.process import ProcessStack
from tests.support.until import until

DOCUMENT = {
    "job_id", "job_type", "status", "paused", "pause_reason", "cancel_requested", "total_images", "completed_images",
    "failed_images", "generated_attach_ids", "stages", "started_at", "eta_seconds",
}  # fmt: skip
STAGE = {
    "stage_index", "label", "quantity", "completed", "in_flight", "round", "status", "reason", "missed", "refused",
    "attach_ids",
}  # fmt: skip

EVENTS_AN_IMAGE = 24
"""At most: a batch of 500 images stays below 12,000 events, far from the 51,200 at which the server ends it."""


async def test_a_job_is_queried_listed_and_labelled(darkroom: ProcessStack) -> None:
    await darkroom.worker.start(
        {"OFFLINE_LATENCY": "0.5-1", "OFFLINE_MISS_RATE": 0.2, "OFFLINE_SEED": 1, "STAGE_CONCURRENCY": 6}
    )
    job_id = await darkroom.order(16, 8)
    await darkroom.until_row(job_id, lambda row: row.completed_images >= 6, "the first pictures", 20)

    answer = (await darkroom.temporal_cli("query", "--type", "progress", job_id=job_id))["queryResult"][0]
    assert set(answer) >= DOCUMENT
    assert all(set(stage) >= STAGE for stage in answer["stages"])
    progress = Progress.model_validate(answer)
    assert progress.job_id == job_id
    assert progress.job_type == "pipeline_stage"
    assert progress.status == "processing"
    assert progress.total_images == 24
    assert 0 < progress.completed_images == len(progress.generated_attach_ids or ())
    assert progress.completed_images == sum(stage.completed for stage in progress.stages)
    assert [stage.quantity for stage in progress.stages] == [16, 8]
    assert all(stage.completed == len(stage.attach_ids or ()) for stage in progress.stages)
    assert progress.eta_seconds is not None
    assert progress.eta_seconds > 0

    everywhere = f"JobStatus='processing' AND JobType='pipeline_stage' AND UserId='{LOCAL_USER}'"
    await until(lambda: _listed(darkroom, job_id, everywhere), "the running job in the list", 5)
    assert not await _listed(darkroom, job_id, "JobStatus='completed'")

    receipt = await darkroom.receipt(job_id)
    assert receipt.delivered == 24
    assert receipt.total.misses > 0
    await until(lambda: _listed(darkroom, job_id, "JobStatus='completed'"), "the ended job in the list", 5)
    assert not await _listed(darkroom, job_id, "JobStatus='processing'")
    ended = (await darkroom.temporal_cli("query", "--type", "progress", job_id=job_id))["queryResult"][0]
    assert ended["status"] == "completed"
    assert ended["completed_images"] == 24
    assert tuple(ended["generated_attach_ids"]) == (await darkroom.row(job_id)).generated_attach_ids

    await _check_labels(darkroom, job_id)
    await darkroom.check_invariants()


@pytest.mark.parametrize("images", [50, pytest.param(500, marks=pytest.mark.slow)])
async def test_the_history_of_a_large_order_stays_small(darkroom: ProcessStack, images: int) -> None:
    """A prompt of 20,000 characters and long ids; 500 images are a full batch."""
    await darkroom.worker.start({"OFFLINE_LATENCY": "0", "STAGE_CONCURRENCY": 50})
    darkroom.records.begin_attach_ids_at(2_000_000_000)
    job_id = await darkroom.order(stages=[{"prompt": "p" * 20_000, "quantity": images}])
    receipt = await darkroom.receipt(job_id, 90)
    assert receipt.delivered == images
    assert max((await darkroom.row(job_id)).generated_attach_ids) > 2_000_000_000
    largest, longest = await check_histories(darkroom, job_id)
    assert longest < EVENTS_AN_IMAGE * images
    print(f"largest payload {largest} bytes, longest history {longest} events")  # noqa: T201


async def _listed(darkroom: ProcessStack, job_id: UUID, query: str) -> bool:
    found = await darkroom.temporal_cli("list", "--query", query)
    return job_workflow_id(job_id) in [one["execution"]["workflowId"] for one in found]


async def _check_labels(darkroom: ProcessStack, job_id: UUID) -> None:
    job, *batches = await histories(darkroom, job_id)
    name = job_workflow_id(job_id)
    assert job.workflow_id == name
    started = children(job)
    assert sorted(started) == sorted(batch.workflow_id for batch in batches)
    assert {f"{name}/stage-0/round-0/batch-0", f"{name}/stage-1/round-0/batch-0"} < set(started)
    assert any(f"{name}/stage-0/round-1/batch-0" == one for one in started)
    for batch in batches:
        stage = int(batch.workflow_id.removeprefix(f"{name}/stage-").partition("/")[0])
        found = await labels(batch)
        assert found
        one, several = rf"stage {stage + 1} · image (\d+)", rf"stage {stage + 1} · (images|\d+ images of) \d+–\d+"
        assert all(re.fullmatch(f"{one}|{several}", label) for label in found), found
        if batch.workflow_id.endswith("/round-0/batch-0"):
            alone = {int(match[1]) for label in found if (match := re.fullmatch(one, label))}
            assert alone == set(range([16, 8][stage])), "each has a call of its own"
