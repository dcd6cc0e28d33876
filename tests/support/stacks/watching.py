"""What a test sees of a workflow from outside, and how it steps in between two of its steps."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client as TemporalClient
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from darkroom.domain.names import job_workflow_id
from darkroom.domain.receipts import Receipt
from darkroom.storage.files import FileStorage
from tests.support.stacks.workflow import WorkflowStack
from tests.support.until import until

LOCAL = "core_local_activity"
"""The SDK's marker of an activity that was taken within a workflow task."""


async def end_of(stack: WorkflowStack, job_id: UUID) -> Receipt:
    """The receipt of a run that must end."""
    return await stack.end_of(job_id)


async def events(stack: WorkflowStack, workflow_id: str) -> list[HistoryEvent]:
    """The history of a workflow's present run."""
    return list((await stack.temporal.get_workflow_handle(workflow_id).fetch_history()).events)


async def heard(stack: WorkflowStack, job_id: UUID, activity_type: str) -> int:
    """How many answers of an activity the job's workflow has acted on."""
    found = await events(stack, job_workflow_id(job_id))
    names = {
        event.event_id: event.activity_task_scheduled_event_attributes.activity_type.name
        for event in found
        if event.HasField("activity_task_scheduled_event_attributes")
    }
    acted = max((event.event_id for event in found if event.event_type == _ACTED), default=0)
    handed_out = sum(
        names[event.activity_task_completed_event_attributes.scheduled_event_id] == activity_type
        for event in found
        if event.HasField("activity_task_completed_event_attributes") and event.event_id < acted
    )
    local = [event for event in found if event.marker_recorded_event_attributes.marker_name == LOCAL]
    return handed_out + sum(asked_for(event) == activity_type for event in local)


def asked_for(event: HistoryEvent) -> str | None:
    """The type of the activity that an event hands out, or that was taken within a workflow task."""
    marker = event.marker_recorded_event_attributes
    if marker.marker_name == LOCAL:
        return str(json.loads(marker.details["data"].payloads[0].data)["activity_type"])
    return event.activity_task_scheduled_event_attributes.activity_type.name or None


async def until_heard(stack: WorkflowStack, job_id: UUID, activity_type: str, times: int) -> None:
    """Wait until the job's workflow has acted on so many answers of an activity."""

    async def enough() -> bool:
        return await heard(stack, job_id, activity_type) >= times

    await until(enough, f"{times} × {activity_type} heard by the job")


async def batches_ended(stack: WorkflowStack, job_id: UUID) -> int:
    """How many batches have ended whose results the job has taken in: it has read the records, or was told enough."""
    found = await events(stack, job_workflow_id(job_id))
    acted = max((event.event_id for event in found if event.event_type == _ACTED), default=0)
    ended = sum(event.event_type in _BATCH_ENDED and event.event_id < acted for event in found)
    asked = sum(
        event.activity_task_scheduled_event_attributes.activity_type.name == "record_progress" for event in found
    )
    return ended - (asked - await heard(stack, job_id, "record_progress"))


async def until_no_batch_runs(stack: WorkflowStack, job_id: UUID) -> None:
    """Wait until the job has taken in the results of all batches that it began."""

    async def all_ended() -> bool:
        found = await events(stack, job_workflow_id(job_id))
        begun = sum(event.event_type == _BATCH_BEGUN for event in found)
        return begun == await batches_ended(stack, job_id)

    await until(all_ended, "all batches to end")


async def until_batches_ended(stack: WorkflowStack, job_id: UUID, number: int = 1) -> None:
    """Wait until the job has taken in the results of so many batches."""

    async def enough() -> bool:
        return await batches_ended(stack, job_id) >= number

    await until(enough, f"{number} batches to end")


def job_of(image: Any) -> UUID:
    """The job of an activity's input: of one image, or of a group."""
    job_id: UUID = image.key.job_id if hasattr(image, "key") else image.job_id
    return job_id


def without_time_skipping(temporal: TemporalClient) -> TemporalClient:
    """The same server; the timers of what is started with this client take their time."""
    return TemporalClient(temporal.service_client, namespace=temporal.namespace, data_converter=temporal.data_converter)


class Between(Interceptor):
    """Steps in before or after the work of an activity of one of these types, once."""

    def __init__(self, *activity_types: str) -> None:
        self.activity_types = activity_types
        self.before: Callable[[Any], Awaitable[None]] | None = None
        """Called with the activity's input."""
        self.after: Callable[[Any], Awaitable[None]] | None = None

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _SteppingIn(next, self)


class _SteppingIn(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, between: Between) -> None:  # noqa: A002
        super().__init__(next)
        self._between = between

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        between = self._between
        if activity.info().activity_type not in between.activity_types:
            return await self.next.execute_activity(input)
        before, between.before = between.before, None
        if before is not None:
            await before(input.args[0])
        result = await self.next.execute_activity(input)
        after, between.after = between.after, None
        if after is not None:
            await after(input.args[0])
        return result


class BrokenFolder:
    """Writes below a folder fail with an error of the operating system until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, folder: str) -> None:
        real = FileStorage._write
        self.mended = False
        self.failed = 0

        def write(path: Path, data: bytes) -> None:
            if folder in str(path) and not self.mended:
                self.failed += 1
                raise OSError(number, "as the test wants it")
            real(path, data)

        monkeypatch.setattr(FileStorage, "_write", staticmethod(write))

    async def until_failed(self) -> None:
        """Wait for the first write that fails."""

        async def failed() -> bool:
            return self.failed > 0

        await until(failed, "a write to fail")


_ACTED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED

_BATCH_BEGUN = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
_BATCH_ENDED = (
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
)
