"""A signal with odd arguments, as `temporal workflow signal --input 1 --input 2` sends it, changes nothing."""

from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client as TemporalClient

from darkroom.domain.names import job_workflow_id
from darkroom.domain.progress import JobStatus
from tests.support.stacks.watching import events
from tests.support.stacks.workflow import running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


ODD: list[tuple[str, list[object]]] = [
    ("cancel", [1, 2]),
    ("pause", [{"reason": "lunch"}, {}]),
    ("pause", [[]]),
    ("resume", [1]),
    ("pause", [{"number": 10**30}]),
    ("cancel", [{"number": -1}]),
    ("report", [1, 2]),
    ("nobody knows it", [1, 2]),
]


async def test_signals_with_odd_arguments_change_nothing_and_fail_nothing(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.held(2, calls=1)
        for signal, arguments in ODD:
            await stack.handle(job_id).signal(signal, args=arguments)
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)
        seen = [event.event_type for event in await events(stack, job_workflow_id(job_id))]
        assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in seen
