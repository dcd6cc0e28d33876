"""Which run of its job a workflow is."""

from temporalio import workflow


def records_run_id() -> str:
    """The id under which the records know this run of the job.

    `temporal workflow reset` goes on under another id with what the records gave to the first one, so it is the first.
    """
    return workflow.info().original_execution_run_id
