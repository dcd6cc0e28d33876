"""The activities of a whole job: open, control, ordinals, counts, close."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from temporalio import activity

from activities.errors import at_the_edge, until_the_records_take_it
from activities.liveness import finish_despite_cancel
from darkroom.domain.batches import DeliveredPageInput, NextOrdinalsInput, RunRef, SetControlInput, StageRef
from darkroom.domain.errors import OrderRejected
from darkroom.domain.jobs import GENERATION, CloseRun, OpenedRun, StartRun
from darkroom.domain.model import Value
from darkroom.domain.money import Terms
from darkroom.domain.movement import STALLED_AFTER, Faults, Movement, faults_of, with_movement
from darkroom.domain.orders import Order
from darkroom.domain.progress import Progress
from darkroom.domain.receipts import Receipt, each_end
from darkroom.domain.rounds import PAGE, StageCounts, StagePlan
from darkroom.housekeeping.leftovers import LeftoverRecords, remove_leftovers
from darkroom.orders.intake import Intake
from darkroom.records.jobs import JobRecords
from darkroom.records.webhooks import WebhookRecords
from darkroom.storage import Storage

ROOM_FOR_STAGES = 12_000
"""Bytes of the plans of stages in one payload of a history."""


class Pace(Value):
    """How fast a run works, from the settings; fixed for the run when it opens."""

    top_up_delay_seconds: float
    stage_concurrency: int
    provider_timeout_seconds: float
    long_history: int
    stages_at_once: int


class RunRecords(JobRecords, WebhookRecords, LeftoverRecords, Protocol):
    """A run of a job from its opening to its last leftover."""

    async def progress(self, job_id: UUID) -> Progress | None:
        """Progress as the records know it."""
        ...

    async def movement(self, job_id: UUID, since: datetime) -> Movement | None:
        """Whether a job moves."""
        ...


class JobActivities:
    """What a job's workflow asks of the records and the storage."""

    def __init__(  # noqa: PLR0917 - what they work with, put together in one place
        self,
        records: RunRecords,
        storage: Storage,
        intake: Intake,
        terms: Terms,
        pace: Pace,
        stalled_after: timedelta = STALLED_AFTER,
    ) -> None:
        self._records = records
        self._storage = storage
        self._intake = intake
        self._terms = terms
        self._pace = pace
        self._stalled_after = stalled_after

    @activity.defn
    @at_the_edge
    async def open_job(self, start: StartRun) -> OpenedRun:
        """Open a run of the job; the first one turns the order document into stored stages."""
        if start.stages_after >= 0:
            return _page(await self._records.open_run(start, None, self._terms, None), start.stages_after)
        source = await self._records.order_source(start.job_id)
        order: Order | None = None
        rejection: str | None = None
        if not source.opened:
            row = await self._records.job(start.job_id)
            try:
                read = await self._intake.check(
                    source.document,
                    source.user_id,
                    org_id=source.org_id,
                    job_type=source.job_type,
                    production_id=source.production_id,
                    inserted_by=source.inserted_by,
                    total_images=None if row is None else row.total_images,
                )
                order = read.order
            except OrderRejected as error:
                rejection = str(error)
                webhook_url = await self._intake.webhook_of(source.document)
                if webhook_url is not None:
                    await self._records.keep_webhook(start.job_id, webhook_url)
        opened = await self._records.open_run(start, order, self._terms, rejection)
        known = {"fresh": not source.opened, "generation": GENERATION}
        return _page(opened.model_copy(update=self._pace.model_dump() | known))

    @activity.defn
    @at_the_edge
    async def set_control(self, asked: SetControlInput) -> int | None:
        """Write pause, resume or cancel on the job's row: from then on it holds for every attempt.

        Gives the version that the row has then; None when another run has the job.
        """
        return await self._records.set_control(asked.job_id, asked.run_id, asked.control)

    @activity.defn
    @at_the_edge
    async def next_ordinals(self, asked: NextOrdinalsInput) -> list[int]:
        """The ordinals of a stage to make next, at most 500."""
        return list(await self._records.next_ordinals(asked.job_id, asked.stage_index, min(asked.limit, PAGE)))

    @activity.defn
    @at_the_edge
    async def record_progress(self, stage: StageRef) -> StageCounts:
        """Refresh the job's row and say what the records know of a stage."""
        await self._records.refresh(stage.job_id)
        return await self._records.stage_counts(stage.job_id, stage.stage_index)

    @activity.defn
    @at_the_edge
    async def record_faults(self, run: RunRef) -> Faults:
        """Say what the attempts' rows and the clock tell of a job: retries, failing providers, whether it stalls."""
        now = datetime.now(UTC)
        progress = await self._records.progress(run.job_id)
        movement = await self._records.movement(run.job_id, now)
        if progress is None or movement is None:
            return Faults()
        return faults_of(with_movement(progress, movement, now, self._stalled_after))

    @activity.defn
    @at_the_edge
    async def delivered_page(self, asked: DeliveredPageInput) -> list[tuple[int, int]]:
        """At most 500 delivered `[ordinal, attach_id]` of a stage."""
        return list(await self._records.delivered_pairs(asked.job_id, asked.stage_index, asked.after, PAGE))

    @activity.defn
    @until_the_records_take_it
    async def close_job(self, close: CloseRun) -> Receipt:
        """End the job: one transaction; one more where its run could not be opened."""
        if close.unopened is not None:
            opened = await self._records.open_run(close.unopened, None, self._terms, close.error_message)
            if opened.superseded is not None:
                return await self._records.receipt(close.job_id) or Receipt.nothing(close.job_id, opened.superseded)
        if close.ends:
            close = close.model_copy(update={"stages": each_end(close.ends), "ends": ()})
        return (await self._records.close_run(close)).for_history()

    @activity.defn
    @at_the_edge
    async def remove_leftovers(self, run: RunRef) -> None:
        """Remove the bytes of an ended job that nobody will settle.

        Generated pictures of a failed job stay for a restart. A restart ends this: from then on the files
        may be those of the new run.
        """
        work = remove_leftovers(self._records, self._storage, run.job_id, run.run_id, run.user_id)
        await finish_despite_cancel(asyncio.create_task(work))


def _page(opened: OpenedRun, after: int = -1) -> OpenedRun:
    """The run with as many of its stages, from the one after `after` on, as fit into a history's payload."""
    following = [plan for plan in opened.stages if plan.stage_index > after]
    page: list[StagePlan] = []
    room = ROOM_FOR_STAGES
    for plan in following:
        room -= len(plan.model_dump_json().encode())
        if page and room < 0:
            break
        page.append(plan)
    return opened.model_copy(update={"stages": tuple(page), "more_stages": len(page) < len(following)})
