"""What a job's workflow reads of a stage in the records."""

from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.jobs import JobActivities
    from darkroom.domain.batches import DeliveredPageInput, StageRef
    from darkroom.domain.clean_text import as_markdown
    from darkroom.domain.stage_state import StageState
    from workflows.policies import RECORD_WRITE


async def read_records(job_id: UUID, state: StageState) -> None:
    """No batch is running: what the records say replaces what was reported."""
    counts = await workflow.execute_activity_method(
        JobActivities.record_progress,
        StageRef(job_id=job_id, stage_index=state.plan.stage_index),
        summary=f"{as_markdown(state.plan.label)} · progress",
        **RECORD_WRITE,
    )
    state.correct(counts)
    await learn_ids(job_id, state)


async def learn_ids(job_id: UUID, state: StageState) -> None:
    """Read the ids nobody told us: of an earlier run, or of a child that died."""
    after = -1
    while state.lacks_ids:
        page = await workflow.execute_activity_method(
            JobActivities.delivered_page,
            DeliveredPageInput(job_id=job_id, stage_index=state.plan.stage_index, after=after),
            summary=f"{as_markdown(state.plan.label)} · ids",
            **RECORD_WRITE,
        )
        if not page:
            return
        state.learn(tuple(page))
        after = page[-1][0]
