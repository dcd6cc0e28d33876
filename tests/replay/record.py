"""Records the histories that are replayed in CI: `make record-histories`.

Record anew only when a workflow was changed on purpose and no run of the old code is alive; otherwise a
history that no longer replays is what these files are there to find.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowHistory
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from darkroom.domain.names import SearchAttribute, webhook_workflow_id
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.programs import temporal_binary
from tests.support.stacks.workflow import WorkflowStack as Stack
from tests.support.stacks.workflow import running_stack
from tests.support.until import until
from tests.support.webhooks.receiver import Receiver

HISTORIES = Path(__file__).with_name("histories")

Scenario = Callable[[Stack], Awaitable[UUID]]


async def happy(stack: Stack) -> UUID:
    """Two stages, nothing goes wrong."""
    job_id = await stack.order(3, 2)
    await stack.client.result(job_id)
    return job_id


async def topped_up(stack: Stack) -> UUID:
    """Misses and a fault in two rounds."""
    stack.provider.script = {(0, 1): [Act.MISS], (0, 3): [Act.MISS], (1, 0): [Act.FAULT]}
    job_id = await stack.order(3, 2)
    await stack.client.result(job_id)
    return job_id


async def paused(stack: Stack) -> UUID:
    """Paused with calls under way, resumed, delivered."""
    stack.provider.gate.clear()
    job_id = await stack.order(5)
    await stack.provider.until_calls(2)
    await stack.client.pause(job_id, "lunch")

    async def is_paused() -> bool:
        return (await stack.row(job_id)).paused

    await until(is_paused, "the pause")
    stack.provider.gate.set()

    async def drained() -> bool:
        return (await stack.row(job_id)).completed_images == 2

    await until(drained, "the calls under way")
    await stack.client.resume(job_id)
    await stack.client.result(job_id)
    return job_id


async def cancelled(stack: Stack) -> UUID:
    """Cancelled with calls under way."""
    stack.provider.gate.clear()
    job_id = await stack.order(5)
    await stack.provider.until_calls(2)
    await stack.client.cancel(job_id, "enough")

    async def is_cancelled() -> bool:
        return (await stack.row(job_id)).cancel_requested

    await until(is_cancelled, "the cancel")
    stack.provider.gate.set()
    await stack.client.result(job_id)
    return job_id


async def announced(stack: Stack) -> UUID:
    """A job whose end is told, at the second attempt."""
    async with Receiver("500") as receiver:
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.client.result(job_id)
        await receiver.events(2)
        name = webhook_workflow_id(job_id, (await stack.row(job_id)).run_id)
        await stack.temporal.get_workflow_handle(name).result()
    return job_id


SCENARIOS: tuple[Scenario, ...] = (happy, topped_up, paused, cancelled, announced)


async def record(temporal: TemporalClient, scenario: Scenario, target: Path) -> None:
    """Run one job and write its history and its children's."""
    with tempfile.TemporaryDirectory() as home:
        settings: dict[str, Any] = {
            "stage_concurrency": 2,
            "top_up_delay": 0.2,
            "webhook_allowed_networks": ("127.0.0.0/8",),
        }
        async with running_stack(temporal, Path(home), ScriptedProvider(), **settings) as stack:
            job_id = await scenario(stack)
        async for found in temporal.list_workflows(f"WorkflowId STARTS_WITH 'job-{job_id}'"):
            history = await temporal.get_workflow_handle(found.id, run_id=found.run_id).fetch_history()
            write(target / f"{_file_name(found.id, job_id)}.json", history)


def _file_name(workflow_id: str, job_id: UUID) -> str:
    name = workflow_id.replace(f"job-{job_id}", "job").replace("/", "_")
    return re.sub("(?<=_webhook)_.*", "", name)  # a run's id, another one each time


def write(file: Path, history: WorkflowHistory) -> None:
    """Write a history without stack traces, which hold paths of the machine that recorded it."""
    content = re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', history.to_json())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content + "\n", "utf-8")


async def main() -> None:
    """Record all scenarios anew."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal_binary(),
        dev_server_log_level="error",
        data_converter=pydantic_data_converter,
        identity="recorder",
        search_attributes=[SearchAttributeKey.for_keyword(name) for name in SearchAttribute],
    ) as environment:
        shutil.rmtree(HISTORIES, ignore_errors=True)
        for scenario in SCENARIOS:
            await record(environment.client, scenario, HISTORIES / scenario.__name__)


if __name__ == "__main__":
    asyncio.run(main())
