"""What Temporal Schedules and `doctor` start."""

from tests.replay.application import JOB_QUEUES, AskWorkers, TaskQueue, plant
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
        job_id = await stack.stored({"stages": [{"prompt": "x", "quantity": 2}]})
        await stack.temporal.execute_workflow("StartWaitingJobsWorkflow", id="look", task_queue=TaskQueue.ORCHESTRATE)
        await stack.client.result(job_id)


async def worker_reports(server: Server) -> None:
    """A worker says what it has; a queue that nobody serves is silent."""
    async with server.stack() as stack:
        await stack.temporal.execute_workflow(
            "WorkerReportsWorkflow",
            AskWorkers(queues=(*JOB_QUEUES, "nobody")),
            id="doctor",
            task_queue=TaskQueue.ORCHESTRATE,
        )
