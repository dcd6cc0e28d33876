"""Which run of its job a workflow is."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from darkroom.domain.jobs import JobInput


def records_run_id(job: JobInput) -> str:
    """The id under which the records know this run of the job.

    `temporal workflow reset` goes on under another id with what the records gave to the first one, so it is the first,
    and an execution that continues another is told.
    """
    return job.continued.run_id if job.continued else workflow.info().original_execution_run_id
