"""Which task queues a worker serves, as the Temporal server sees it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import NamedTuple

from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, ListWorkersRequest
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError

from darkroom.domain.errors import ServerNotReachable
from darkroom.domain.names import JOB_QUEUES
from darkroom.domain.names import TaskQueue as Queue

SEEN_WITHIN = timedelta(seconds=70)
"""A poll lasts at most 60 s. A worker that was killed stays listed for minutes."""

HEARD_WITHIN = timedelta(seconds=70)
"""Workers send a heartbeat every 60 s, however busy they are."""

DEADLINE = timedelta(seconds=2)
LOOK_EVERY = 5.0
"""Seconds for which it is good enough that all queues are served."""

LOOK_AGAIN_AFTER = 1.0
"""Seconds for which one that is not served is believed: a message goes when its cause has gone."""


class _Poller(NamedTuple):
    identity: str
    seen: datetime


async def queues_without_worker(temporal: TemporalClient, queues: Collection[Queue] = JOB_QUEUES) -> tuple[Queue, ...]:
    """Those of the queues that no worker has polled lately.

    A worker whose places are all taken does not poll for more, so two others count as well: one whose process, which
    may serve several queues under one name, has polled another of them, and one whose heartbeat came lately.

    Raises:
        RPCError: the server does not answer, or does not tell.
    """
    found = dict(zip(queues, await asyncio.gather(*(_pollers(temporal, queue) for queue in queues)), strict=True))
    limit = datetime.now(UTC) - SEEN_WITHIN
    alive = {one.identity for pollers in found.values() for one in pollers if one.seen >= limit}
    lacking = [queue for queue in queues if alive.isdisjoint(one.identity for one in found[queue])]
    beating = await asyncio.gather(*(_beats(temporal, queue) for queue in lacking))
    return tuple(queue for queue, beats in zip(lacking, beating, strict=True) if not beats)


async def _beats(temporal: TemporalClient, queue: Queue) -> bool:
    """Whether a worker of a queue has sent a heartbeat lately."""
    request = ListWorkersRequest(namespace=temporal.namespace, query=f'TaskQueue="{queue}"', page_size=100)
    try:
        answer = await temporal.workflow_service.list_workers(request, timeout=DEADLINE)
    except RPCError:
        return False  # a server that keeps no heartbeats
    limit = datetime.now(UTC) - HEARD_WITHIN
    return any(
        one.worker_heartbeat.status is WorkerStatus.WORKER_STATUS_RUNNING
        and one.worker_heartbeat.heartbeat_time.ToDatetime(tzinfo=UTC) >= limit
        for one in answer.workers_info
    )


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
        if self._is_old:
            self._begin()
        return self._known

    async def look(self) -> tuple[str, ...]:
        """The queues without a worker, at most a few seconds old; none where the server does not tell."""
        if self._is_old:
            return await asyncio.shield(self._begin())
        return self._known

    @property
    def _is_old(self) -> bool:
        limit = LOOK_AGAIN_AFTER if self._known else LOOK_EVERY
        return self._looked_at is None or monotonic() - self._looked_at >= limit

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
            async with asyncio.timeout(DEADLINE.total_seconds()):
                self._known = tuple(await queues_without_worker(await self._temporal()))
        except ServerNotReachable:
            self._known = tuple(JOB_QUEUES) if self._server_is_ours() else ()
        except (RPCError, TimeoutError):
            self._known = ()
        self._looked_at = monotonic()
        return self._known
