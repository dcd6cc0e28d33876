"""Many orders at the same moment, and what is asked of Temporal about a job that waits to be opened."""

import asyncio
from pathlib import Path
from typing import Any

from temporalio.client import Client as TemporalClient
from temporalio.client import (
    Interceptor,
    OutboundInterceptor,
    QueryWorkflowInput,
    StartWorkflowInput,
    WorkflowHandle,
)

from darkroom.client.executions import STARTS_OF_ONE_USER
from darkroom.domain.progress import JobStatus
from tests.support.stacks.workflow import running_stack

ORDERS = 2 * STARTS_OF_ONE_USER + 3


class _Counting(Interceptor):
    """Counts the requests of a client."""

    def __init__(self) -> None:
        self.starting = self.most_starting = self.queries = 0

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        return _Outbound(next, self)


class _Outbound(OutboundInterceptor):
    def __init__(self, following: OutboundInterceptor, counts: _Counting) -> None:
        super().__init__(following)
        self._counts = counts

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        self._counts.starting += 1
        self._counts.most_starting = max(self._counts.most_starting, self._counts.starting)
        try:
            return await super().start_workflow(input)
        finally:
            self._counts.starting -= 1

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002
        self._counts.queries += 1
        return await super().query_workflow(input)


async def test_orders_at_once_are_started_in_turns_and_a_pending_job_is_not_queried(
    skipping_client: TemporalClient, home: Path
) -> None:
    counts = _Counting()
    config = skipping_client.config()
    config["interceptors"] = [counts]
    temporal = TemporalClient(**config)
    async with running_stack(temporal, home, without_workers=True) as stack:
        jobs = await asyncio.gather(*(stack.order(1) for _ in range(ORDERS)))
        try:
            assert counts.most_starting == STARTS_OF_ONE_USER
            reading = await stack.client.progress(jobs[-1])
            assert (reading.source, reading.progress.status) == ("records", JobStatus.PENDING)
            assert counts.queries == 0
        finally:
            await asyncio.gather(*(stack.handle(job).terminate() for job in jobs))
