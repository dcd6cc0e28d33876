"""A worker in a process of its own, so that its memory is only its own: `python -m benchmarks.worker_process SETUP`.

Works until its standard input is closed, which also happens when the process that started it dies.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path

import uvloop
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from benchmarks import bare_workflow as bare
from benchmarks.calls import BenchProvider, Calls
from benchmarks.peers.steps import RealSteps
from benchmarks.projects import ProjectKey, records_in
from benchmarks.work import Work
from darkroom import logs
from darkroom.bootstrap import open_parts
from darkroom.domain.model import Value
from darkroom.providers import ImageProvider
from darkroom.providers.gemini import GeminiProvider
from darkroom.settings import Settings
from worker import PUBLISH_SLOTS_A_CORE, running_workers


class Kind(StrEnum):
    """Whose work it does."""

    DARKROOM = "darkroom"
    BARE = "bare"


class Setup(Value):
    """What a worker process needs to know."""

    kind: Kind
    home: Path
    address: str
    work: Work
    works: bool = False
    """Whether the steps of the bare workflow do the work, instead of nothing."""
    project: ProjectKey | None = None
    """Where the records are kept; in `home` when there is none. Pictures are in `home` either way."""
    answers_at: str | None = None
    """Where a server answers as Gemini does; without one, answers are made in the worker."""

    @property
    def kept(self) -> Path:
        """Where steps of the bare workflow keep what they make."""
        return self.home / "kept"

    @property
    def first_calls(self) -> Path:
        """Where it leaves the time of each job's first call."""
        return self.home / f"first-calls-{self.kind}"


def bench_settings(home: Path) -> Settings:
    """The defaults, whatever this machine's environment says, on files in `home`."""
    fields = {name: field.default for name, field in Settings.model_fields.items()}
    return Settings(_env_file=None, **{**fields, "darkroom_home": home, "image_provider": "offline"})


async def serve(setup: Setup) -> None:
    """Work until standard input ends."""
    settings = bench_settings(setup.home)
    logs.configure(settings)
    setup.first_calls.mkdir(exist_ok=True)
    client = await Client.connect(setup.address, data_converter=pydantic_data_converter)
    async with AsyncExitStack() as stack:
        if setup.kind is Kind.DARKROOM:
            provider = _provider(setup, settings)
            records = await records_in(setup.project)
            replaced = {"providers": {"offline": provider}, "records": records}
            parts = await stack.enter_async_context(open_parts(settings, **replaced))
            await stack.enter_async_context(running_workers(parts, client))
        else:
            steps = RealSteps(setup.kept) if setup.works else None
            activities = bare.BareActivities(Calls(setup.work, setup.first_calls), steps)
            for worker in _bare_workers(client, activities, settings):
                await stack.enter_async_context(worker)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def _provider(setup: Setup, settings: Settings) -> ImageProvider:
    if setup.answers_at is None:
        return BenchProvider(setup.work, setup.first_calls)
    return GeminiProvider(
        api_key="none",
        model="bench",
        base_url=setup.answers_at,
        api_version=None,
        timeout=settings.provider_timeout,
        max_concurrent=settings.provider_slots,
    )


def _bare_workers(client: Client, activities: bare.BareActivities, settings: Settings) -> list[Worker]:
    return [
        Worker(
            client,
            task_queue=bare.ORCHESTRATE,
            workflows=[bare.BareJobWorkflow, bare.BareBatchWorkflow],
            activities=[activities.attach, activities.credit],
        ),
        Worker(
            client,
            task_queue=bare.GENERATE,
            activities=[activities.generate],
            max_concurrent_activities=settings.provider_slots,
        ),
        Worker(
            client,
            task_queue=bare.PUBLISH,
            activities=[activities.upload],
            max_concurrent_activities=PUBLISH_SLOTS_A_CORE * (os.cpu_count() or 1),
        ),
    ]


if __name__ == "__main__":
    uvloop.run(serve(Setup.model_validate_json(sys.argv[1])))
    # sdk-python #300: a process that used a client aborts now and then while the interpreter shuts down.
    os._exit(0)
