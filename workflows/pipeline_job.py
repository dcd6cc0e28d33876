"""A job: open it, deliver every stage at once, close it with a receipt."""

import asyncio
from typing import NoReturn

from temporalio import exceptions, workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from activities.jobs import JobActivities
    from activities.storybook import BookActivities
    from darkroom.contract import PipelineJob
    from darkroom.domain.batches import BatchReport, RunRef
    from darkroom.domain.job_control import JobControl
    from darkroom.domain.job_state import JobState
    from darkroom.domain.jobs import (
        CancelRequest,
        CloseRun,
        End,
        FinishBook,
        JobInput,
        PauseRequest,
        ResumeRequest,
        StartRun,
    )
    from darkroom.domain.names import SearchAttribute
    from darkroom.domain.orders import JobType
    from darkroom.domain.progress import JobStatus, Progress
    from darkroom.domain.receipts import Receipt, grouped
    from darkroom.domain.stage_state import StageState
    from darkroom.domain.webhooks import WebhookInput
    from workflows.batches import Batches
    from workflows.controls import ControlRelay, quota_spread, until_applied
    from workflows.events import log
    from workflows.local_steps import take_step
    from workflows.patches import IDS_OF_ENDED, QUOTAS_GROW
    from workflows.policies import BOOK_WRITE, CLEANING, SETTLEMENT
    from workflows.quiet_moment import QuietMoment
    from workflows.refusals import refusal_or_raise, unless_refused
    from workflows.runs import opened, records_run_id
    from workflows.stage_delivery import StageDelivery
    from workflows.stage_records import learn_ids
    from workflows.table import Table
    from workflows.webhook import start_webhook

JOB_STATUS = SearchAttributeKey.for_keyword(SearchAttribute.JOB_STATUS)
JOB_TYPE = SearchAttributeKey.for_keyword(SearchAttribute.JOB_TYPE)
USER_ID = SearchAttributeKey.for_keyword(SearchAttribute.USER_ID)


@workflow.defn(name="PipelineJobWorkflow")
class PipelineJobWorkflow(PipelineJob):
    """Delivers exactly what was ordered, or says why not, and always completes with the receipt."""

    @workflow.init
    def __init__(self, job: JobInput) -> None:
        self._job = job
        self._run_id = records_run_id(job)
        self._state = JobState(job.job_id, workflow.now())
        self._control = JobControl(continues=job.continued is not None)
        self._batches = Batches(self._control)
        self._quiet = QuietMoment(self._state, self._control, self._batches)
        self._table = Table(self._state, self._control, self.progress)
        self._receipt: Receipt | None = None
        self._unopened: StartRun | None = None
        """The run that the records refused to open."""

    @workflow.run
    async def run(self, _job: JobInput) -> Receipt:
        work = asyncio.create_task(self._work())
        try:
            # Unshielded, a cancel would take the children's results with it.
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self._control.request_cancel("cancelled through Temporal")
            return await work

    async def _work(self) -> Receipt:
        await self._open()
        if self._control.superseded is None and self._unopened is None:
            await self._deliver_while_serving()
        if self._control.superseded is not None:
            return self._leave_to_another_run(self._control.superseded)
        receipt = await self._close()
        await self._announce()
        if not (receipt.leaves_nothing and self._state.run.generation >= 1):
            await self._clean_up()
        self._log_end(receipt)
        return receipt

    @workflow.signal
    def cancel(self, request: CancelRequest | None = None) -> None:
        request = request or CancelRequest()
        self._control.request_cancel(request.reason, request.number)

    @workflow.signal
    def pause(self, request: PauseRequest | None = None) -> None:
        request = request or PauseRequest()
        self._control.request_pause(request.reason, request.number)

    @workflow.signal
    def resume(self, request: ResumeRequest | None = None) -> None:
        self._control.request_resume(request.number if request else None)

    @workflow.signal
    def report(self, report: BatchReport) -> None:
        self._state.merge(report)
        self._on_batch_report(report)
        self._show()

    @workflow.query
    def progress(self) -> Progress:
        message = self._receipt.error_message if self._receipt else self._control.failure
        return self._state.progress(self._control, workflow.now(), message)

    @property
    def _run_ref(self) -> RunRef:
        return RunRef(job_id=self._job.job_id, run_id=self._run_id, user_id=self._state.run.user_id)

    async def _open(self) -> None:
        start = StartRun(
            job_id=self._job.job_id,
            run_id=self._run_id,
            started_at=workflow.info().start_time,
            restart=self._job.restart,
        )
        try:
            run = await opened(start, local=self._job.generation >= 3)
        except exceptions.ActivityError as error:
            self._control.fail(refusal_or_raise(error))
            self._unopened = start
            return
        continued = self._job.continued
        self._state.open(run, workflow.now(), continued)
        if continued is not None:
            log("history continued", job_id=str(self._job.job_id))
        if run.superseded is not None:
            self._control.supersede(run.superseded)
            return
        self._control.open(run.providers, run.control, run.failure, continued.quotas if continued else ())
        attributes = [JOB_STATUS.value_set(self._state.status), JOB_TYPE.value_set(run.job_type)]
        if run.user_id is not None:
            attributes.append(USER_ID.value_set(str(run.user_id)))
        workflow.upsert_search_attributes(attributes)
        self._show()

    async def _deliver_while_serving(self) -> None:
        """Deliver, while controls are relayed and spent quotas come back."""
        delivering = asyncio.create_task(self._deliver())
        relay = ControlRelay(self._job.job_id, self._run_id, self._control, self._batches, self._show)
        continuing = asyncio.create_task(self._quiet.until_time_to_continue())
        serving = [
            asyncio.create_task(relay.relay()),
            asyncio.create_task(relay.lift_spent_quotas()),
            asyncio.create_task(self._table.keep_shown()),
            asyncio.create_task(self._table.refresh(self._run_ref)),
            continuing,
        ]
        await workflow.wait([delivering, *serving], return_when=asyncio.FIRST_COMPLETED)
        for task in serving:
            if task.done():
                task.result()  # but for the last, they never end by themselves; raises what ended it
            task.cancel()
        if not delivering.done():
            self._continue_as_new()
        await delivering

    def _continue_as_new(self) -> NoReturn:
        kept = self._state.keep(self._run_id, self._control)
        workflow.continue_as_new(
            self._job.model_copy(update={"continued": kept}),
            # Where workers are versioned: a job that is paused for a week goes on with the current version.
            initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
        )

    async def _deliver(self) -> None:
        control = self._control
        if control.failure is not None:
            return
        # A request that came before the job was open holds from the first image on.
        await workflow.wait_condition(lambda: control.in_sync)
        stages = [stage for stage in self._state.stages if not stage.ended]
        control.begin_stages(stage.plan.stage_index for stage in stages)
        turns = asyncio.Semaphore(self._state.run.stages_at_once or len(stages) or 1)
        await asyncio.gather(self._learn_ids_of_ended(), *(self._deliver_stage(stage, turns) for stage in stages))
        await until_applied(control)

    async def _learn_ids_of_ended(self) -> None:
        """Read the ids of stages that another execution of this run has delivered."""
        if self._job.continued is not None and workflow.patched(IDS_OF_ENDED):
            reading = [learn_ids(self._job.job_id, stage) for stage in self._state.stages if stage.ended]
            await asyncio.gather(*(unless_refused(one, self._control.fail) for one in reading))

    async def _deliver_stage(self, stage: StageState, turns: asyncio.Semaphore) -> None:
        delivery = StageDelivery(
            stage,
            self._state.run,
            self._run_ref,
            self._control,
            self._batches,
            quiet=self._quiet,
            on_report=self._on_batch_report,
            on_change=self._show,
        )
        async with self._quiet.its_turn(stage.plan.stage_index, turns):
            try:
                await delivery.deliver()
            except exceptions.ActivityError as error:
                self._control.fail(refusal_or_raise(error))
                self._control.end_stage(stage.plan.stage_index)

    def _on_batch_report(self, report: BatchReport) -> None:
        """What one batch met that concerns all."""
        if report.stopped is not None:
            self._control.fail(report.stopped)
        elif report.quota_until is not None and report.provider is not None:
            provider, reason = report.provider, report.quota_reason
            spread = quota_spread() if workflow.patched(QUOTAS_GROW) else None
            other = self._control.spend_quota(provider, report.quota_until, reason, workflow.now(), spread)
            if other is not None:
                log("quota spent", job_id=str(self._job.job_id), provider=provider, goes_on_with=other, reason=reason)

    def _leave_to_another_run(self, reason: str) -> Receipt:
        log("run superseded", job_id=str(self._job.job_id), reason=reason)
        return Receipt.nothing(self._job.job_id, reason)

    async def _close(self) -> Receipt:
        end, stages = self._state.end_stages(self._control)
        await self._finish_book(end)
        close = CloseRun(
            job_id=self._job.job_id,
            run_id=self._run_id,
            end=end,
            error_message=self._control.failure,
            stages=stages if self._state.run.generation < 2 else (),
            ends=grouped(stages) if self._state.run.generation >= 2 else (),
            unopened=self._unopened,
        )
        receipt = await take_step(
            JobActivities.close_job,
            close,
            local=self._state.run.generation >= 3,
            summary="close",
            policy=SETTLEMENT,
        )
        self._receipt = receipt
        self._state.close(receipt)
        workflow.upsert_search_attributes([JOB_STATUS.value_set(receipt.status)])
        self._table.show()
        return receipt

    async def _finish_book(self, end: End) -> None:
        if self._state.run.job_type != JobType.STORYBOOK:
            return
        book = FinishBook(job_id=self._job.job_id, run_id=self._run_id, end=end)
        try:
            await workflow.execute_activity_method(BookActivities.finish_book, book, summary="book", **BOOK_WRITE)
        except exceptions.ActivityError as error:
            # The pages are delivered and paid for: the job closes without its cover.
            log("book not finished", job_id=str(self._job.job_id), reason=str(error.cause or error))

    async def _announce(self) -> None:
        if self._state.run.webhook:
            event = WebhookInput(job_id=self._job.job_id, run_id=self._run_id)
            await start_webhook(event, f"webhook · {self._state.status}")

    async def _clean_up(self) -> None:
        try:
            await workflow.execute_activity_method(
                JobActivities.remove_leftovers, self._run_ref, summary="clean up", **CLEANING
            )
        except exceptions.ActivityError as error:
            log("leftovers stay", job_id=str(self._job.job_id), reason=str(error.cause or error))

    def _log_end(self, receipt: Receipt) -> None:
        log(
            "job cancelled" if receipt.status is JobStatus.CANCELLED else "job finished",
            receipt.severity,
            job_id=str(self._job.job_id),
            status=str(receipt.status),
            completed=receipt.delivered,
            total=receipt.ordered,
            reason=receipt.error_message,
        )

    def _show(self) -> None:
        self._table.changed = True
