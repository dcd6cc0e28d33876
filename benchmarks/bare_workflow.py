"""What Temporal alone costs: Darkroom's shape, with activities that do nothing.

A child workflow for every 500 images of a stage, the same lanes, and for every image four activities on three queues.
They are empty, or do in the simplest way what Darkroom does in them. No rounds, no signals, no limits, no control.
"""

import asyncio
from collections import deque
from datetime import timedelta

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from benchmarks.calls import Calls
    from benchmarks.peers.steps import Steps
    from benchmarks.work import CONCURRENCY
    from darkroom.domain.model import Value
    from darkroom.domain.rounds import PAGE

ORCHESTRATE, GENERATE, PUBLISH = "bare", "bare-generate", "bare-publish"
"""Not Darkroom's own three, so that both kinds of worker can wait side by side."""

LIMIT = timedelta(seconds=60)


class BareJob(Value):
    """A job of numbers."""

    label: str
    stages: int
    images: int


class BareBatch(Value):
    """Up to 500 images of a stage."""

    label: str
    stage: int
    ordinals: tuple[int, ...]


class BareImage(Value):
    """One image."""

    label: str
    stage: int
    ordinal: int

    @property
    def key(self) -> str:
        """What its steps keep it under."""
        return f"{self.label}/{self.stage}/{self.ordinal}"


class BareActivities:
    """Four that do nothing, or the steps' work; the first one waits as long as a provider's call would take."""

    def __init__(self, calls: Calls, steps: Steps | None = None) -> None:
        self._calls = calls
        self._steps = steps

    @activity.defn(name="bare-generate")
    async def generate(self, image: BareImage) -> None:
        await self._calls.wait(image.label, image.stage, image.ordinal)
        if self._steps is not None:
            await asyncio.to_thread(self._steps.generate, image.key, image.ordinal)

    @activity.defn(name="bare-upload")
    async def upload(self, image: BareImage) -> None:
        if self._steps is not None:
            await asyncio.to_thread(self._steps.upload, image.key)

    @activity.defn(name="bare-attach")
    async def attach(self, image: BareImage) -> None:
        if self._steps is not None:
            await asyncio.to_thread(self._steps.attach, image.key)

    @activity.defn(name="bare-credit")
    async def credit(self, image: BareImage) -> None:
        if self._steps is not None:
            await asyncio.to_thread(self._steps.credit, image.key)


@workflow.defn
class BareJobWorkflow:
    """All stages at once, the batches of a stage one after another."""

    @workflow.run
    async def run(self, job: BareJob) -> int:
        return sum(await asyncio.gather(*(self._stage(job, stage) for stage in range(job.stages))))

    async def _stage(self, job: BareJob, stage: int) -> int:
        done = 0
        while done < job.images:
            ordinals = tuple(range(done, min(done + PAGE, job.images)))
            name = f"{workflow.info().workflow_id}/stage-{stage}/batch-{done // PAGE}"
            batch = BareBatch(label=job.label, stage=stage, ordinals=ordinals)
            done += await workflow.execute_child_workflow(BareBatchWorkflow.run, batch, id=name)
        return done


@workflow.defn
class BareBatchWorkflow:
    """Its images, each through four activities, in as many lanes as Darkroom's batches have."""

    @workflow.run
    async def run(self, batch: BareBatch) -> int:
        queue = deque(batch.ordinals)
        generating = asyncio.Semaphore(CONCURRENCY)

        async def lane() -> None:
            while queue:
                image = BareImage(label=batch.label, stage=batch.stage, ordinal=queue.popleft())
                async with generating:
                    await workflow.execute_activity_method(
                        BareActivities.generate, image, task_queue=GENERATE, start_to_close_timeout=LIMIT
                    )
                await workflow.execute_activity_method(
                    BareActivities.upload, image, task_queue=PUBLISH, start_to_close_timeout=LIMIT
                )
                for settle in (BareActivities.attach, BareActivities.credit):
                    await workflow.execute_activity_method(
                        settle, image, task_queue=ORCHESTRATE, start_to_close_timeout=LIMIT
                    )

        await asyncio.gather(*(lane() for _ in range(min(len(queue), 2 * CONCURRENCY))))
        return len(batch.ordinals)
