"""What Temporal Schedules start."""

from tests.replay.application import TaskQueue, plant, stored
from tests.replay.server import Server


async def housekeeping(server: Server) -> None:
    """A hold that an ended job left is released."""
    async with server.stack() as stack:
        await stack.client.result(await stack.order(1))
        await plant(stack, "update quel_credit_holds set released_at = null")
        await stack.temporal.execute_workflow("HousekeepingWorkflow", id="tidy", task_queue=TaskQueue.ORCHESTRATE)


async def waiting_jobs(server: Server) -> None:
    """A front end's order is found and started."""
    async with server.stack() as stack:
        job_id = await stored(stack, {"stages": [{"prompt": "x", "quantity": 2}]})
        await stack.temporal.execute_workflow("StartWaitingJobsWorkflow", id="look", task_queue=TaskQueue.ORCHESTRATE)
        await stack.client.result(job_id)
