"""A Temporal server of its own for each scenario, and the files that what ran on it is written to."""

import asyncio
import gzip
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecution, WorkflowHistory

from tests.replay.application import (
    GENERATION,
    ScriptedProvider,
    WorkflowStack,
    job_activities,
    running_stack,
    until,
    without_time_skipping,
    workflow_classes,
)
from tests.support.payloads import payloads
from tests.support.stacks.temporal_server import running_skipping_temporal, suggesting_to_continue_after

IDENTITY = "recorder"
LONGEST = 3_000
"""Events of a history above which it is not written: it takes long to replay and holds nothing that others lack."""

_STARTED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED
_JOB = re.compile(r"job-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Server:
    """A fresh server, and a folder for pictures."""

    skipping: Client
    """Timers of what is started with it pass at once while nothing is in progress."""
    client: Client
    home: Path

    def stack(
        self, provider: ScriptedProvider | None = None, *, skipping: bool = False, **settings: Any
    ) -> AbstractAsyncContextManager[WorkflowStack]:
        """Workers and records; two calls at once and short delays unless the scenario says otherwise."""
        chosen = {"stage_concurrency": 2, "top_up_delay": 0.2, "webhook_allowed_networks": ("127.0.0.0/8",), **settings}
        return running_stack(self.skipping if skipping else self.client, self.home, provider, **chosen)


SERVER_OPTIONS = dict.fromkeys(("continued_as_new", "continued_after_a_stage"), suggesting_to_continue_after(60))
"""Of the scenarios that need a server of another kind."""

GENERATIONS = {
    "ordinals_refused": 0,
    "paused_while_a_round_asks": 1,
    "paused_and_resumed_while_a_round_asks": 1,
    "drained_to_continue": 1,
}
"""Of the scenarios that later generations cannot play, because they ask for less."""

Scenario = Callable[[Server], Awaitable[None]]


@asynccontextmanager
async def fresh_server(options: Sequence[str] = ()) -> AsyncIterator[Server]:
    """A server that nothing has run on yet."""
    with tempfile.TemporaryDirectory() as home:
        async with running_skipping_temporal(*options, identity=IDENTITY) as skipping:
            yield Server(skipping, without_time_skipping(skipping), Path(home))


async def record(scenario: Scenario, target: Path) -> int:
    """Play a scenario and write the histories it left; how many."""
    generation = GENERATIONS.get(scenario.__name__, GENERATION)
    async with fresh_server(SERVER_OPTIONS.get(scenario.__name__, ())) as server:
        with patch.object(job_activities, "GENERATION", generation):
            await scenario(server)
        histories = [history for history in await _histories(server.client) if len(history.events) <= LONGEST]
        names: dict[str, int] = {}
        for history in histories:
            name = _file_name(history.workflow_id, histories)
            names[name] = names.get(name, 0) + 1
            hide(history, str(server.home))
            write(target, name if names[name] == 1 else f"{name}_run-{names[name]}", history)
        return len(histories)


async def _histories(client: Client) -> list[WorkflowHistory]:
    """What the application's workflows left, those that were started first in front."""
    kinds = {kind.__name__ for kind in workflow_classes()}
    found: list[WorkflowExecution] = []
    histories: list[WorkflowHistory] = []

    async def all_listed() -> bool:
        found[:] = [one async for one in client.list_workflows() if one.workflow_type in kinds]
        handles = [client.get_workflow_handle(one.id, run_id=one.run_id) for one in found]
        histories[:] = await asyncio.gather(*(handle.fetch_history() for handle in handles))
        started = {
            event.child_workflow_execution_started_event_attributes.workflow_execution.run_id
            for history in histories
            for event in history.events
            if event.event_type == _STARTED
        }
        return started <= {one.run_id for one in found}

    # The list follows what happens a moment later.
    await until(all_listed, "every child in the list")
    return sorted(histories, key=lambda history: history.events[0].event_time.ToNanoseconds())


def _file_name(workflow_id: str, histories: list[WorkflowHistory]) -> str:
    jobs = list(dict.fromkeys(match[0] for one in histories if (match := _JOB.match(one.workflow_id))))
    for number, job in enumerate(jobs, 1):
        workflow_id = workflow_id.replace(job, "job" if number == 1 else f"job-{number}")
    return re.sub("(?<=_webhook)_.*", "", workflow_id.replace("/", "_"))  # a run's id, another one each time


def hide(history: WorkflowHistory, home: str) -> None:
    """Take the folder of the machine that records out of what activities answered, and the workers' ids, in place."""
    for event in history.events:
        for _, attributes in event.ListFields():
            if getattr(attributes, "identity", "").startswith(f"{IDENTITY}#"):
                attributes.identity = IDENTITY
        for payload in payloads(event):
            payload.data = payload.data.replace(home.encode(), b"DARKROOM_HOME")


def write(folder: Path, name: str, history: WorkflowHistory) -> None:
    """Write a history without stack traces, which hold paths of the machine that recorded it."""
    content = re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', history.to_json()) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json.gz").write_bytes(gzip.compress(content.encode(), mtime=0))


def read(file: Path) -> str:
    """The JSON of a recorded history."""
    data = file.read_bytes()
    return (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
