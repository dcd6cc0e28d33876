"""What workflow histories hold: labels, children, and nothing large."""

from uuid import UUID

from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter

from darkroom.domain.names import job_workflow_id
from tests.support.payloads import payloads
from tests.support.stacks.process import ProcessStack
from tests.support.stacks.watching import asked_for

LARGEST_PAYLOAD = 16 * 1024
MOST_EVENTS = 12_000


async def histories(darkroom: ProcessStack, job_id: UUID) -> list[WorkflowHistory]:
    """The histories of every run of a job and of its children, the job's first run first."""
    prefix = job_workflow_id(job_id)
    found = [
        await darkroom.temporal.get_workflow_handle(one.id, run_id=one.run_id).fetch_history()
        async for one in darkroom.temporal.list_workflows(f"WorkflowId STARTS_WITH '{prefix}'")
    ]
    return sorted(found, key=lambda history: (history.workflow_id, history.events[0].event_time.ToDatetime()))


async def check_histories(darkroom: ProcessStack, job_id: UUID) -> tuple[int, int]:
    """No payload above 16 KiB, no child with 12,000 events; gives the largest of both."""
    largest = longest = 0
    for history in await histories(darkroom, job_id):
        longest = max(longest, len(history.events))
        for event in history.events:
            for payload in payloads(event):
                size = payload.ByteSize()
                assert size <= LARGEST_PAYLOAD, f"{history.workflow_id}, event {event.event_id}: {size} bytes"
                largest = max(largest, size)
    assert longest < MOST_EVENTS
    return largest, longest


async def labels(history: WorkflowHistory) -> list[str]:
    """The summaries of a history's activities, in the order in which they were scheduled."""
    return [await _text(event.user_metadata.summary) for event in history.events if asked_for(event)]


def children(history: WorkflowHistory) -> list[str]:
    """The ids of the children that a history started."""
    return [
        event.start_child_workflow_execution_initiated_event_attributes.workflow_id
        for event in history.events
        if event.HasField("start_child_workflow_execution_initiated_event_attributes")
    ]


async def _text(payload: Payload) -> str:
    return str((await DataConverter.default.decode([payload]))[0])
