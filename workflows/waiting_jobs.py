"""StartWaitingJobsWorkflow: one look for jobs that a front end inserted, started by a Temporal Schedule."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.waiting import WaitingActivities
    from darkroom.contract import StartWaitingJobs
    from workflows import policies


@workflow.defn(name="StartWaitingJobsWorkflow")
class StartWaitingJobsWorkflow(StartWaitingJobs):
    """Starts every job that waits for its workflow."""

    @workflow.run
    async def run(self) -> int:
        """Look once; how many were started."""
        return await workflow.execute_activity_method(WaitingActivities.start_waiting_jobs, args=[], **policies.LOOK)
