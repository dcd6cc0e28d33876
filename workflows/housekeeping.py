"""HousekeepingWorkflow: looks after jobs that nobody looks after, started by a Temporal Schedule."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.housekeeping import HousekeepingActivities
    from darkroom.contract import Housekeeping
    from darkroom.domain.housekeeping import Tidied
    from workflows import policies


@workflow.defn(name="HousekeepingWorkflow")
class HousekeepingWorkflow(Housekeeping):
    """Mends what crashes and terminated workflows leave behind."""

    @workflow.run
    async def run(self) -> Tidied:
        """Once through everything; what was found."""
        return await workflow.execute_activity_method(HousekeepingActivities.tidy, args=[], **policies.TIDYING)
