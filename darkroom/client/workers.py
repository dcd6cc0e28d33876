"""Which task queues a worker serves, as the Temporal server sees it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import NamedTuple

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError

from darkroom.domain.errors import ServerNotReachable
from darkroom.domain.names import JOB_QUEUES
from darkroom.domain.names import TaskQueue as Queue

SEEN_WITHIN = timedelta(seconds=70)
"""A poll lasts at most 60 s. A worker that was killed stays listed for minutes."""

DEADLINE = timedelta(seconds=2)
LOOK_EVERY = 5.0
"""Seconds for which an answer is good enough for those who watch."""


class _Poller(NamedTuple):
    identity: str
    seen: datetime


async def queues_without_worker(temporal: TemporalClient, queues: Collection[Queue] = JOB_QUEUES) -> tuple[Queue, ...]:
    """Those of the queues that no worker has polled lately.

    A worker whose places are all taken does not poll for more. One process serves several queues under one name, so
    it counts for each queue that lists it as soon as any of them has seen it lately.

    Raises:
        RPCError: the server does not answer, or does not tell.
    """
    found = dict(zip(queues, await asyncio.gather(*(_pollers(temporal, queue) for queue in queues)), strict=True))
    limit = datetime.now(UTC) - SEEN_WITHIN
    alive = {one.identity for pollers in found.values() for one in pollers if one.seen >= limit}
    return tuple(queue for queue in queues if alive.isdisjoint(one.identity for one in found[queue]))


async def _pollers(temporal: TemporalClient, queue: Queue) -> list[_Poller]:
    kind = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    if queue is Queue.ORCHESTRATE:
        kind = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    request = DescribeTaskQueueRequest(
        namespace=temporal.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    answer = await temporal.workflow_service.describe_task_queue(request, timeout=DEADLINE)
    return [_Poller(one.identity, _seen(one)) for one in answer.pollers]


def _seen(poller: PollerInfo) -> datetime:
    return poller.last_access_time.ToDatetime(tzinfo=UTC)


class WorkerWatch:
    """What a process that shows jobs knows of the workers; asked for often, looked for seldom.

    Args:
        temporal: the client of now; raises ServerNotReachable.
        server_is_ours: whether no server at all means that no worker runs either: `up` runs both.
    """

    def __init__(
        self, temporal: Callable[[], Awaitable[TemporalClient]], *, server_is_ours: Callable[[], bool]
    ) -> None:
        self._temporal = temporal
        self._server_is_ours = server_is_ours
        self._known: tuple[str, ...] = ()
        self._looked_at: float | None = None
        self._looking: asyncio.Task[tuple[str, ...]] | None = None

    def latest(self) -> tuple[str, ...]:
        """The queues without a worker as they are known; what is old is looked up behind the caller's back."""
        if self._looked_at is None or monotonic() - self._looked_at >= LOOK_EVERY:
            self._begin()
        return self._known

    async def look(self) -> tuple[str, ...]:
        """The queues without a worker, at most a few seconds old; none where the server does not tell."""
        if self._looked_at is None or monotonic() - self._looked_at >= LOOK_EVERY:
            return await asyncio.shield(self._begin())
        return self._known

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def _begin(self) -> "asyncio.Task[tuple[str, ...]]":
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return self._looking

    async def _look(self) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(2 * DEADLINE.total_seconds()):
                self._known = tuple(await queues_without_worker(await self._temporal()))
        except ServerNotReachable:
            self._known = tuple(JOB_QUEUES) if self._server_is_ours() else ()
        except (RPCError, TimeoutError):
            self._known = ()
        self._looked_at = monotonic()
        return self._known
