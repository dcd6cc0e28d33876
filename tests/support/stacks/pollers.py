"""Workers as the Temporal server knows them: by the polls that it has seen."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from darkroom.client.workers import queues_without_worker
from darkroom.domain.names import TaskQueue as Queue
from tests.support.until import until

LONGEST = timedelta(seconds=20)


async def poll_once(client: Client, *queues: Queue, identity: str = "1@test") -> None:
    """Ask each queue for work, as a worker does, until the server lists who asked; nothing is there."""
    asking = [asyncio.create_task(_poll(client, queue, identity)) for queue in queues]

    async def listed() -> bool:
        return not await queues_without_worker(client, queues)

    try:
        await until(listed, "the polls to be seen")
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _poll(client: Client, queue: Queue, identity: str) -> None:
    service, asked = client.workflow_service, TaskQueue(name=queue)
    with suppress(RPCError):  # nothing has come in time
        if queue is Queue.ORCHESTRATE:
            workflow = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=asked, identity=identity)
            await service.poll_workflow_task_queue(workflow, timeout=LONGEST)
        else:
            activity = PollActivityTaskQueueRequest(namespace=client.namespace, task_queue=asked, identity=identity)
            await service.poll_activity_task_queue(activity, timeout=LONGEST)
