"""Recorded histories, and replaying them with the workflows as they are now."""

import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowReplayResult

from tests.replay.application import workflow_classes
from tests.replay.record import HISTORIES
from tests.replay.server import read
from workflows.signals import OddSignalsDropped

_BEFORE_3_12 = {"0.1/quota_pauses_other_stages", "0.1/user_pause_in_a_quota_pause"}
_SINCE_3_12 = {"0.1-python-3.13/quota_pauses_other_stages", "0.1-python-3.13/user_pause_in_a_quota_pause"}
OTHER_PYTHON = _BEFORE_3_12 if sys.version_info >= (3, 12) else _SINCE_3_12
"""Scenarios that only the other Python replays: Python 3.12 has another `asyncio.wait_for`, which ends in fewer steps.

A resume during a quota's pause wakes the relay and the timer's task at once. In 0.1, before 3.12 the control is written
first and the timer cancelled then, since 3.12 the other way round: such a job of 0.1 is not carried over this change of
Python. Since 0.2 the workflow cancels the timer itself (`workflows.patches.OWN_TIMER`).
"""

ALL_RECORDED = sorted(file for file in HISTORIES.glob("*/*/*") if file.name.endswith((".json", ".json.gz")))
RECORDED = [file for file in ALL_RECORDED if str(file.parent.relative_to(HISTORIES)) not in OTHER_PYTHON]


def name_of(file: Path) -> str:
    """Version, scenario and workflow of a recorded history."""
    return str(file.relative_to(HISTORIES)).removesuffix(".gz").removesuffix(".json")


@cache
def history_of(file: Path) -> WorkflowHistory:
    """A recorded history; read once, because several tests look at each."""
    return WorkflowHistory.from_json(name_of(file), read(file))


def replayer(executor: ThreadPoolExecutor | None = None) -> Replayer:
    """Replays in the sandbox, which finds what is not deterministic."""
    return Replayer(
        workflows=workflow_classes(),
        workflow_task_executor=executor,
        data_converter=pydantic_data_converter,
        interceptors=[OddSignalsDropped()],
    )


def unsandboxed_replayer(classes: Sequence[type], executor: ThreadPoolExecutor) -> Replayer:
    """Replays with the classes given, which may be others than those in the files."""
    return Replayer(
        workflows=classes,
        workflow_task_executor=executor,
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=pydantic_data_converter,
        interceptors=[OddSignalsDropped()],
    )


async def first_that_does_not_replay(
    replay: Replayer, histories: Iterable[WorkflowHistory]
) -> WorkflowReplayResult | None:
    """The first history that the workflows contradict, and how."""

    async def all_of_them() -> AsyncIterator[WorkflowHistory]:
        for history in histories:
            yield history

    async with replay.workflow_replay_iterator(all_of_them()) as results:
        async for result in results:
            if result.replay_failure is not None:
                return result
    return None
