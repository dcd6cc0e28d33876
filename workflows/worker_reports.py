"""WorkerReportsWorkflow: asks running workers what they have, for `doctor --live`."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.worker_reports import WorkerReportActivities
    from darkroom.contract import AskingWorkers
    from darkroom.domain.worker_reports import AskWorkers, WorkerReport, WorkerReports
    from workflows.policies import WORKER_REPORT


@workflow.defn(name="WorkerReportsWorkflow")
class WorkerReportsWorkflow(AskingWorkers):
    """One activity for each task queue: whoever serves the queue answers."""

    @workflow.run
    async def run(self, asked: AskWorkers) -> WorkerReports:
        """What came in time; a queue without a worker is silent."""
        asking = [
            workflow.execute_activity_method(
                WorkerReportActivities.report_worker, task_queue=queue, summary=queue, **WORKER_REPORT
            )
            for queue in asked.queues
        ]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        told = dict(zip(asked.queues, answers, strict=True))
        return WorkerReports(
            reports=tuple(answer for answer in answers if isinstance(answer, WorkerReport)),
            silent=tuple(queue for queue, answer in told.items() if not isinstance(answer, WorkerReport)),
        )
