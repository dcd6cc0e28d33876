"""One batch: up to 500 images of one round of one stage, each through its four activities."""

import asyncio
from collections import deque
from datetime import datetime, timedelta

from temporalio import exceptions, workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.images import ImageActivities
    from darkroom.domain.batch_tally import BatchTally
    from darkroom.domain.batches import BatchInput, BatchResult
    from darkroom.domain.images import (
        AttachInput,
        FindStagedInput,
        GenerateInput,
        GenerateResult,
        Outcome,
        Settlement,
    )
    from darkroom.domain.jobs import Control
    from darkroom.domain.names import TaskQueue
    from darkroom.domain.receipts import shorten
    from darkroom.domain.stage_labels import number_of_stage
    from workflows.events import log
    from workflows.patches import HELD_ENDS, SALVAGE_LAST, has
    from workflows.policies import SALVAGE, provider_call
    from workflows.publishing import Publishing, StagedCall
    from workflows.refusals import refusal, unless_refused
    from workflows.reporting import report_as_it_goes

HELD_PAUSE = timedelta(seconds=1)
HELD_FOR_LONG = timedelta(seconds=5)
"""What holds a call on the job's row is told to its batch within that, but for a run that was reset."""


@workflow.defn
class StageBatchWorkflow:
    """Makes the images of its input and says what became of each.

    What is held by a pause, or not begun when the parent ends it early, goes back to not started; the parent asks for
    it again.
    """

    @workflow.init
    def __init__(self, batch: BatchInput) -> None:
        self._batch = batch
        self._control = batch.control
        self._queue = deque(batch.ordinals)
        self._calls: dict[int, workflow.ActivityHandle[GenerateResult]] = {}
        self._generating = asyncio.Semaphore(batch.concurrency)
        self._publishing = Publishing(batch, begins_more=lambda: bool(self._queue))
        self._tally = BatchTally(batch)
        self._drained = False
        self._held_since: datetime | None = None
        self._ended = False

    @workflow.run
    async def run(self, _batch: BatchInput) -> BatchResult:
        delivering = asyncio.create_task(self._deliver())
        reporting = asyncio.create_task(
            report_as_it_goes(
                self._tally,
                self._calls,
                ends_soon=lambda: self._batch.generation >= 1 and not (self._calls or self._queue),
                ended=lambda: self._ended,
            )
        )
        try:
            await asyncio.shield(delivering)
        except asyncio.CancelledError:
            self._tally.cancel()
            self._drop_what_waits()
            await delivering
        self._ended = True
        await reporting
        return self._tally.conclude()

    @workflow.signal
    def control(self, control: Control) -> None:
        """Pause, resume or cancel, passed on by the parent."""
        if control.version > self._control.version:
            self._control = control
            if control.holds:
                self._drop_what_waits()

    @workflow.signal
    def drain(self) -> None:
        """Begin nothing more: the parent is to continue as new."""
        self._drained = True
        self._drop_what_waits()

    @property
    def _draining(self) -> bool:
        """Whether nothing may be begun; what is under way finishes."""
        return self._control.holds or self._drained or self._tally.over

    async def _deliver(self) -> None:
        # Twice as many lanes as calls: while one image is encoded and settled the next is being drawn,
        # and never more wait to be settled than are being drawn.
        while self._queue and not self._draining:
            lanes = min(len(self._queue), 2 * self._batch.concurrency)
            await asyncio.gather(*(self._lane() for _ in range(lanes)))
        ends = self._control.cancel_requested or self._tally.ends_the_stage
        if self._batch.salvages or (ends and not has(self._batch.generation, SALVAGE_LAST)):
            await unless_refused(self._salvage(), self._stop)

    async def _lane(self) -> None:
        while self._queue and not self._draining:
            ordinal = self._queue.popleft()
            async with self._generating:
                made = None if self._draining else await self._generate(ordinal)
            if made is None:
                self._queue.append(ordinal)
            else:
                await self._conclude(ordinal, made)

    async def _salvage(self) -> None:
        """Deliver what is paid for and staged: nobody will ask for these images again."""
        after: int | None = -1
        while after is not None:
            page = await workflow.execute_activity_method(
                ImageActivities.find_staged,
                FindStagedInput(job_id=self._batch.job_id, stage_index=self._batch.stage_index, after=after),
                task_queue=TaskQueue.ORCHESTRATE,
                summary=f"{number_of_stage(self._batch.stage_index)} · staged",
                **SALVAGE,
            )
            work = (self._publish(found.ordinal, StagedCall(found.call_id)) for found in page.found)
            await asyncio.gather(*(unless_refused(one, self._stop) for one in work))
            after = page.next_after
        self._tally.note_salvaged()

    async def _generate(self, ordinal: int) -> GenerateResult | None:
        """The result of `generate`; None when it was not begun, or nobody waits for it any more."""
        try:
            result = await self._start_generate(ordinal)
        except asyncio.CancelledError:
            return None
        except ActivityError as error:
            if (refused := refusal(error)) is not None:
                return GenerateResult(outcome=Outcome.STOPPED, reason=refused)
            if self._draining or isinstance(error.cause, exceptions.CancelledError):
                return None
            return GenerateResult(outcome=Outcome.LOST, reason=shorten(str(error.cause or error)))
        if result.outcome is not Outcome.HELD:
            self._held_since = None
            return result
        if result.final:
            self._tally.supersede(result.reason)
        elif not self._draining:
            await self._wait_while_held()
        return None

    async def _wait_while_held(self) -> None:
        """The row says paused or cancelled before the signal is here, or the resume after it was quicker."""
        self._held_since = self._held_since or workflow.now()
        if workflow.now() - self._held_since >= HELD_FOR_LONG and workflow.patched(HELD_ENDS):
            self._tally.note_held()
            self._drop_what_waits()
        else:
            await workflow.sleep(HELD_PAUSE)

    async def _start_generate(self, ordinal: int) -> GenerateResult:
        handle: workflow.ActivityHandle[GenerateResult] = workflow.start_activity_method(
            ImageActivities.generate,
            GenerateInput(
                key=self._publishing.key(ordinal),
                run_id=self._batch.run_id,
                round=self._batch.round,
                provider=self._batch.provider,
            ),
            task_queue=TaskQueue.GENERATE,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=self._publishing.label(ordinal),
            **provider_call(),
        )
        self._calls[ordinal] = handle
        try:
            return await handle
        finally:
            del self._calls[ordinal]

    async def _conclude(self, ordinal: int, made: GenerateResult) -> None:
        match made.outcome:
            case Outcome.GENERATED:
                await unless_refused(self._publish(ordinal, StagedCall.of(made)), self._stop)
            case Outcome.DELIVERED:
                self._note_delivered(ordinal, made.attach_id)
            case Outcome.REFUSED:
                self._note_refused(ordinal, made)
            case Outcome.UNNEEDED:
                self._note_unneeded(ordinal, made.reason)
            case Outcome.QUOTA_SPENT:
                self._queue.append(ordinal)
                self._tally.note_spent_quota(made.until, made.reason)
                self._drop_what_waits()
            case Outcome.STOPPED:
                self._queue.append(ordinal)
                self._stop(made.reason)
            case _:
                self._note_missed(ordinal, made.reason, gave_up=made.gave_up, lost=made.outcome is Outcome.LOST)

    async def _publish(self, ordinal: int, call: StagedCall) -> None:
        uploaded = await self._publishing.upload(ordinal, call)
        if uploaded.outcome is Outcome.STOPPED:
            self._stop(uploaded.reason)
            return
        if uploaded.outcome is Outcome.DELIVERED:
            self._note_delivered(ordinal, uploaded.attach_id)
            return
        if uploaded.path is None or uploaded.size is None or uploaded.sha256 is None:
            self._note_missed(ordinal, uploaded.reason)
            return
        attached = await self._publishing.attach(
            AttachInput(
                key=self._publishing.key(ordinal),
                run_id=self._batch.run_id,
                call_id=call.call_id,
                seconds=call.seconds,
                cost_usd=call.cost_usd,
                path=uploaded.path,
                size=uploaded.size,
                sha256=uploaded.sha256,
            )
        )
        if attached.refused:
            self._stop(attached.reason)
        elif attached.attach_id is None:
            self._tally.supersede(attached.reason)
        else:
            await self._settle(ordinal)

    async def _settle(self, ordinal: int) -> None:
        credited = await self._publishing.credit(ordinal)
        match credited.settlement:
            case Settlement.SETTLED:
                self._note_delivered(ordinal, credited.attach_id)
            case Settlement.STAGE_FULL:
                self._note_unneeded(ordinal, credited.reason)
            case Settlement.INSUFFICIENT | Settlement.REFUSED:
                self._stop(credited.reason)
            case Settlement.RUN_REFUSED:
                self._tally.supersede(credited.reason)

    def _note_delivered(self, ordinal: int, attach_id: int | None) -> None:
        self._tally.note_delivered(ordinal, attach_id)
        n, quantity = self._tally.delivered_of_stage, self._batch.quantity
        self._log("image delivered", ordinal, n=n, quantity=quantity, attach_id=attach_id)

    def _note_unneeded(self, ordinal: int, reason: str | None) -> None:
        self._tally.note_unneeded()
        self._log("image not needed", ordinal, reason=reason)

    def _note_missed(self, ordinal: int, reason: str | None, *, gave_up: bool = False, lost: bool = False) -> None:
        self._tally.note_missed(reason, gave_up=gave_up, lost=lost)
        self._log("image missed", ordinal, reason=reason)
        if self._tally.over:
            self._drop_what_waits()

    def _note_refused(self, ordinal: int, made: GenerateResult) -> None:
        self._tally.note_refused(made.reason, final=made.final)
        self._log("image refused", ordinal, reason=made.reason, final=made.final)
        if self._tally.over:
            self._drop_what_waits()

    def _stop(self, reason: str | None) -> None:
        self._tally.note_stopped(reason)
        self._drop_what_waits()

    def _drop_what_waits(self) -> None:
        # Only `generate` is ever cancelled. The server drops what is queued or backing off at once; a
        # call under way finishes and its result comes all the same.
        for handle in list(self._calls.values()):
            handle.cancel()

    def _log(self, event: str, ordinal: int, **fields: object) -> None:
        log(
            event,
            job_id=str(self._batch.job_id),
            stage=self._batch.stage_index,
            ordinal=ordinal,
            round=self._batch.round,
            **fields,
        )
