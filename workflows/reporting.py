"""What a batch tells its parent while it runs (part of the batch's workflow)."""

import contextlib
from collections.abc import Callable, Sized
from datetime import timedelta

from temporalio import exceptions, workflow

with workflow.unsafe.imports_passed_through():
    from darkroom.contract import PipelineJob
    from darkroom.domain.batch_tally import BatchTally

REPORT_EVERY = timedelta(seconds=1)


async def report_as_it_goes(
    tally: BatchTally, calls: Sized, ends_soon: Callable[[], bool], ended: Callable[[], bool]
) -> None:
    """Signal the news to the parent, at most once a second, until the batch has ended; its result carries the rest."""
    info = workflow.info()
    if info.parent is None:
        return
    parent: workflow.ExternalWorkflowHandle[PipelineJob] = workflow.get_external_workflow_handle_for(
        PipelineJob.run, info.parent.workflow_id, run_id=info.parent.run_id
    )
    while True:
        await workflow.wait_condition(lambda: ended() or tally.worth_a_report)
        if ended():
            return
        if ends_soon() and not tally.urgent:
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: ended() or tally.urgent, timeout=REPORT_EVERY)
            if ended():
                return
        try:
            await parent.signal(PipelineJob.report, tally.take_news(in_flight=len(calls)))
        except exceptions.ApplicationError as error:
            # The parent reads the records when this batch ends; nothing depends on a report.
            workflow.logger.warning("report not delivered: %s", error)
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: ended() or tally.urgent, timeout=REPORT_EVERY)
