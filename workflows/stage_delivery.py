"""Delivering one stage: rounds of batches until nothing is missing (part of the job's workflow)."""

import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta

from temporalio import exceptions, workflow

with workflow.unsafe.imports_passed_through():
    from activities.images import ImageActivities
    from activities.jobs import JobActivities
    from darkroom.domain.batches import (
        BatchInput,
        BatchReport,
        BatchResult,
        NextOrdinalsInput,
        RunRef,
    )
    from darkroom.domain.clean_text import as_markdown
    from darkroom.domain.images import FindStagedInput
    from darkroom.domain.job_control import JobControl
    from darkroom.domain.jobs import OpenedRun
    from darkroom.domain.names import batch_workflow_id
    from darkroom.domain.receipts import shorten
    from darkroom.domain.rounds import MAX_IMAGES_WITH_IDS, PAGE, report_step, top_up_delay
    from darkroom.domain.stage_state import StageState
    from workflows.batches import Batches
    from workflows.controls import until_applied
    from workflows.events import log
    from workflows.patches import APPLIED_LATE, SALVAGE_LAST, has
    from workflows.policies import RECORD_WRITE, salvage
    from workflows.quiet_moment import QuietMoment
    from workflows.stage_records import learn_ids, read_records

SALVAGE_BATCH = 1_000_000
"""The number of the batch that begins no image; above that of any other."""
CALLS_END_AFTER = timedelta(seconds=30)
"""After the provider's own limit."""

CHILD_IN_THE_WAY = timedelta(seconds=1)


class StageDelivery:
    """One stage from its first round to its last."""

    def __init__(
        self,
        state: StageState,
        run: OpenedRun,
        job: RunRef,
        control: JobControl,
        batches: Batches,
        *,
        quiet: QuietMoment,
        on_report: Callable[[BatchReport], None],
        on_change: Callable[[], None],
    ) -> None:
        self._state = state
        self._run = run
        self._job_id, self._run_id = job.job_id, job.run_id
        self._control = control
        self._batches = batches
        self._quiet = quiet
        self._on_report = on_report
        self._on_change = on_change
        self._with_ids = run.total_images <= MAX_IMAGES_WITH_IDS
        self._salvaged = False
        """Whether the last batch looked for what waits in staging after the cancel."""
        self._delivered_before, self._requested = state.delivered, state.missing

    async def deliver(self) -> None:
        """Round 0, then top-ups, until nothing is missing or no round is left."""
        state, control = self._state, self._control
        if state.left is None:
            self._log("stage started", quantity=state.plan.quantity)
        await learn_ids(self._job_id, self._state)
        for round_ in range(state.round, self._run.max_top_ups + 1):
            if state.left is None:
                if state.missing == 0 or self._over() or not await self._wait_for_top_up(round_):
                    break
                self._begin_round(round_)
            await self._deliver_round(round_)
        await until_applied(control)
        if state.missing > 0:
            await self._salvage()
        state.end(cancelled=control.requested.cancel_requested or state.cancelled, failure=control.failure)
        control.end_stage(state.plan.stage_index)
        self._on_change()
        if state.delivered < state.plan.quantity:
            got, expected = state.delivered, state.plan.quantity
            self._log("stage short", expected=expected, got=got, missing=expected - got, reason=state.reason)
        self._log("stage finished", completed=state.delivered, quantity=state.plan.quantity)

    def _over(self) -> bool:
        return self._state.stopped or self._control.over

    async def _wait_for_top_up(self, round_: int) -> bool:
        delay = top_up_delay(round_, timedelta(seconds=self._run.top_up_delay_seconds))
        if delay:
            try:
                await workflow.wait_condition(self._over, timeout=delay)
            except TimeoutError:
                return True
        return not self._over()

    def _begin_round(self, round_: int) -> None:
        self._state.begin_round(round_)
        self._delivered_before, self._requested = self._state.delivered, self._state.missing
        if round_:
            self._log("top-up started", round=round_, missing=self._requested)

    async def _deliver_round(self, round_: int) -> None:
        state = self._state
        while state.left and not self._over():
            await self._quiet.until_may_begin(state.plan.stage_index)
            if self._over():
                break
            decided = await self._deliver_batch(round_, state.batch, state.left)
            if decided is None:
                break
            state.left -= decided
            state.batch += 1
        state.left = None
        if round_:
            recovered = state.delivered - self._delivered_before
            self._log("top-up finished", round=round_, recovered=recovered, missing=self._requested)

    async def _deliver_batch(self, round_: int, batch: int, budget: int) -> int | None:
        """Make up to 500 images; how many were decided, or None when the round cannot go on."""
        state = self._state
        asked, applied = self._control.requested.version, self._control.applied.version
        ordinals = await self._ordinals(round_, batch, budget)
        if self._over() or self._control.on_hold:
            # The wish came while we asked for ordinals; the round goes on when it is lifted.
            return 0
        provider = await self._provider()
        if provider is None:
            return 0
        state.in_flight = min(len(ordinals), self._run.stage_concurrency)
        self._on_change()
        result: BatchResult | None = None
        delivered, decided, self._salvaged = state.delivered, state.decided, False
        try:
            result = await self._run_child(provider, round_, batch, tuple(ordinals))
        except exceptions.ChildWorkflowError as error:
            self._note_lost_child(error)
        else:
            self._take_in(result, provider)
        told_all = state.note_batch(ordinals, result, decided)
        if self._run.generation < 2:
            told_all = len(ordinals) > 0 and state.delivered == delivered + len(ordinals) and not state.lacks_ids
        if not (told_all and self._run.generation >= 1):
            await read_records(self._job_id, self._state)
        self._on_change()
        if state.delivered > delivered:
            self._control.quotas.note_delivered(provider)
        if result is None:
            return None
        if result.held:
            await workflow.wait_condition(lambda: self._control.in_sync)
        return None if self._stuck(result, asked, applied) else result.decided

    def _stuck(self, result: BatchResult, asked: int, applied: int) -> bool:
        """Nothing decided, nothing asked of us and the same provider again: the round would never end."""
        if result.decided or result.quota_spent or self._batches.draining or self._control.requested.version != asked:
            return False
        # What had been asked before the batch began, a pause and its resume, may have reached it only then.
        return self._control.applied.version == applied or not workflow.patched(APPLIED_LATE)

    async def _ordinals(self, round_: int, batch: int, budget: int) -> Sequence[int]:
        count = min(budget, PAGE)
        if self._run.fresh and (round_, batch) == (0, 0):
            return range(count)
        if self._run.generation >= 2 and (first := self._state.next_ordinal) is not None:
            return range(first, first + count)
        return await workflow.execute_activity_method(
            JobActivities.next_ordinals,
            NextOrdinalsInput(job_id=self._job_id, stage_index=self._state.plan.stage_index, limit=count),
            summary=f"{as_markdown(self._state.plan.label)} · ordinals",
            **RECORD_WRITE,
        )

    def _take_in(self, result: BatchResult, provider: str) -> None:
        state = self._state
        state.merge(result.report)
        state.note_refusals(provider, result.refusals, result.refused, final=result.refused_final)
        if result.provider_down:
            state.turns.note_down(provider)
        self._salvaged = result.salvaged
        if result.cancelled:
            state.cancelled = state.stopped = True
        self._on_report(result.report)
        self._control.supersede(result.superseded)
        if result.held:
            self._control.reassert()

    async def _provider(self) -> str | None:
        """Who makes the next pictures, after a quota when nobody else is left. None when it is over or to continue."""
        turns, quotas, stage_index = self._state.turns, self._control.quotas, self._state.plan.stage_index
        known = self._state.reason

        def halted() -> bool:
            return self._halted() or self._quiet.is_awaited

        while (provider := turns.choose(quotas.free(workflow.now()))) is None and not halted():
            back = {name: until for name in turns.willing if (until := quotas.back_at(name)) is not None}
            first = min(back, key=lambda name: back[name])
            self._state.reason = shorten(quotas.reason(first))
            self._control.wait_for_quota(stage_index, first)
            self._on_change()
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: halted() or turns.choose(quotas.free(workflow.now())) is not None,
                    timeout=max(back[first] - workflow.now(), timedelta(seconds=1)),
                )
        self._state.reason = known
        self._control.stop_waiting(stage_index)
        return None if self._halted() else provider

    def _halted(self) -> bool:
        return self._over() or self._control.on_hold

    async def _salvage(self) -> None:
        """Deliver what is paid for and waits in staging, whatever ended the stage (spec §2).

        Calls may still be in progress whose batch was lost, or whose worker stood still too long.
        """
        control, stage_index = self._control, self._state.plan.stage_index
        calls_end: timedelta | None = None
        if has(self._run.generation, SALVAGE_LAST):
            # The pictures of a job that ends failed wait for a restart.
            if control.failure is not None or control.superseded is not None:
                return
            calls_end = timedelta(seconds=self._run.provider_timeout_seconds) + CALLS_END_AFTER
        elif self._salvaged or not control.requested.cancel_requested:
            return
        waiting = await workflow.execute_activity_method(
            ImageActivities.find_staged,
            FindStagedInput(
                job_id=self._job_id,
                stage_index=stage_index,
                after=-1,
                calls_end_within_seconds=None if calls_end is None else calls_end.total_seconds(),
            ),
            summary=f"{as_markdown(self._state.plan.label)} · staged",
            **salvage(calls_end),
        )
        if waiting.found:
            try:
                result = await self._run_child(
                    self._run.providers[0], self._state.round, SALVAGE_BATCH, (), salvages=calls_end is not None
                )
            except exceptions.ChildWorkflowError as error:
                self._note_lost_child(error)
            else:
                self._state.merge(result.report)
            await read_records(self._job_id, self._state)

    async def _run_child(
        self, provider: str, round_: int, batch: int, ordinals: tuple[int, ...], *, salvages: bool = False
    ) -> BatchResult:
        state = self._state
        child = BatchInput(
            job_id=self._job_id,
            run_id=self._run_id,
            user_id=self._run.user_id,
            stage_index=state.plan.stage_index,
            quantity=state.plan.quantity,
            round=round_,
            provider=provider,
            has_fallback=state.turns.has_other(provider),
            salvages=salvages,
            ordinals=ordinals,
            control=self._control.applied,
            delivered_before=state.delivered,
            delivered_in_run=state.delivered_in_run,
            refusals_in_run=state.turns.refusals(provider),
            concurrency=self._run.stage_concurrency,
            report_step=report_step(self._run.total_images),
            with_ids=self._with_ids,
            generation=self._run.generation,
            provider_timeout_seconds=self._run.provider_timeout_seconds,
        )
        name = batch_workflow_id(self._job_id, state.plan.stage_index, round_, batch)
        while True:
            try:
                return await self._batches.run(child, name)
            except exceptions.WorkflowAlreadyStartedError:
                # A restart can be quicker than the server is in ending the children of the run before.
                await workflow.sleep(CHILD_IN_THE_WAY)

    def _note_lost_child(self, error: exceptions.ChildWorkflowError) -> None:
        if isinstance(error.cause, exceptions.CancelledError):
            # It was cancelled before it could start; one that runs catches it and says so itself.
            self._state.cancelled = self._state.stopped = True
        self._state.reason = shorten(f"a batch was lost: {error.cause or error}")
        self._log("batch lost", reason=str(error.cause or error))

    def _log(self, event: str, **fields: object) -> None:
        log(event, job_id=str(self._job_id), stage=self._state.plan.stage_index, **fields)
