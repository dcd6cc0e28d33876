"""The job's row and progress, as clients poll them: right at every moment."""

from darkroom.domain.images import Outcome
from darkroom.domain.jobs import End
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import StageEnd
from darkroom.domain.rounds import StageStatus
from tests.support.records.fixture import RecordsFixture


async def test_completed_images_are_always_as_many_as_the_ids_and_only_grow(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (4, 4))
    seen: set[int] = set()
    for ordinal in range(4):
        for stage in (1, 0):
            await job.deliver([ordinal], stage)
            row = await job.row()
            assert row.completed_images == len(row.generated_attach_ids)
            assert seen <= set(row.generated_attach_ids)
            seen = set(row.generated_attach_ids)
    await fixture.records.refresh(job.job_id)
    assert (await job.row()).completed_images == 8


async def test_a_settlement_says_when_the_row_trails_it(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await job.make(0)
    settled = await job.settle(0)
    shown = settled.attach_id in (await job.row()).generated_attach_ids
    assert settled.row_trails is not shown


async def test_a_settlement_a_second_after_the_last_refresh_refreshes_the_row(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await job.deliver([0])
    await fixture.tables.set_back_refresh(1.1)
    await job.make(1)
    settled = await job.settle(1)
    assert not settled.row_trails
    assert (await job.row()).completed_images == 2


async def test_ids_are_ordered_by_stage_and_then_by_ordinal(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3, 2))
    [late_in_1] = await job.deliver([1], 1)
    [first_in_1] = await job.deliver([0], 1)
    [topped_up] = await job.deliver([5], round_=1)
    [two, one] = await job.deliver([2, 1])
    await fixture.records.refresh(job.job_id)
    assert (await job.row()).generated_attach_ids == (one, two, topped_up, first_in_1, late_in_1)


async def test_a_refresh_of_a_job_without_images_changes_no_counts(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    await fixture.records.refresh(job.job_id)
    row = await job.row()
    assert (row.status, row.completed_images, row.generated_attach_ids) == (JobStatus.PENDING, 0, ())


async def test_progress_of_a_running_job_shows_every_stage(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3, 1))
    ids = await job.deliver([0, 1])
    await job.tried(2, Outcome.MISSED)
    await job.tried(0, Outcome.REFUSED, 1)
    await job.control(1, paused=True, reason="lunch")
    await fixture.records.refresh(job.job_id)
    progress = await fixture.records.progress(job.job_id)
    assert progress is not None
    assert (progress.status, progress.paused, progress.pause_reason) == (JobStatus.PROCESSING, True, "lunch")
    assert (progress.total_images, progress.completed_images) == (4, 2)
    assert progress.generated_attach_ids == tuple(ids)
    first, second = progress.stages
    assert (first.quantity, first.completed, first.missed, first.refused, first.attach_ids) == (3, 2, 1, 0, tuple(ids))
    assert (second.completed, second.refused, second.attach_ids) == (0, 1, ())
    assert first.label == "stage 1"


async def test_progress_of_an_ended_job_keeps_how_its_stages_ended(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1, 1))
    await job.deliver([0])
    await job.close(
        End.DELIVERED,
        stages=(
            StageEnd(stage_index=0, status=StageStatus.COMPLETE),
            StageEnd(stage_index=1, status=StageStatus.SHORT, reason="blocked by policy"),
        ),
    )
    progress = await fixture.records.progress(job.job_id)
    assert progress is not None
    assert [stage.status for stage in progress.stages] == [StageStatus.COMPLETE, StageStatus.SHORT]
    assert progress.stages[1].reason == "blocked by policy"
    assert (progress.status, progress.failed_images) == (JobStatus.COMPLETED, 1)


async def test_progress_of_a_pending_job_needs_no_stored_stages(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member(), (3,))
    progress = await fixture.records.progress(job.job_id)
    assert progress is not None
    assert (progress.status, progress.total_images, progress.completed_images) == (JobStatus.PENDING, 3, 0)


async def test_ids_are_in_progress_up_to_2000_images(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000_000)
    large, small = await fixture.opened(user_id, (2_001,)), await fixture.opened(user_id, (2_000,))
    await large.deliver([0])
    await small.deliver([0])
    for job in (large, small):
        await fixture.records.refresh(job.job_id)
    shown = await fixture.records.progress(large.job_id)
    assert shown is not None
    assert (shown.generated_attach_ids, shown.stages[0].attach_ids) == (None, None)
    assert len((await large.row()).generated_attach_ids) == 1
    shown = await fixture.records.progress(small.job_id)
    assert shown is not None
    assert shown.generated_attach_ids == (await small.row()).generated_attach_ids
