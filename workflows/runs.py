"""Which run of its job a workflow is, and what the records say when they open it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.jobs import JobActivities
    from darkroom.domain.jobs import JobInput, OpenedRun, StartRun
    from workflows.local_steps import take_step
    from workflows.policies import RECORD_WRITE


def records_run_id(job: JobInput) -> str:
    """The id under which the records know this run of the job.

    `temporal workflow reset` goes on under another id with what the records gave to the first one, so it is the first,
    and an execution that continues another is told.
    """
    return job.continued.run_id if job.continued else workflow.info().original_execution_run_id


async def opened(start: StartRun, *, local: bool) -> OpenedRun:
    """The run with all of its stages, which come in pages.

    Raises:
        ActivityError: the records refuse to open it.
    """
    run = await take_step(JobActivities.open_job, start, local=local, summary="open", policy=RECORD_WRITE)
    while run.more_stages:
        last = run.stages[-1].stage_index
        page = await take_step(
            JobActivities.open_job,
            start.model_copy(update={"stages_after": last}),
            local=False,
            summary=f"open · stages after {last}",
            policy=RECORD_WRITE,
        )
        run = run.model_copy(
            update={
                "stages": run.stages + page.stages,
                "more_stages": page.more_stages,
                "superseded": page.superseded,
            }
        )
    return run
