"""A job: open it, deliver every stage at once, close it with a receipt."""

import asyncio
from datetime import datetime, timedelta

from temporalio import exceptions, workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from activities.jobs import JobActivities
    from activities.storybook import BookActivities
    from darkroom.contract import PipelineJob
    from darkroom.domain import progress
    from darkroom.domain.batches import BatchReport, RunRef, SetControlInput
    from darkroom.domain.fallback import Quotas
    from darkroom.domain.jobs import (
        CancelRequest,
        CloseRun,
        Control,
        End,
        FinishBook,
        JobInput,
        OpenedRun,
        PauseRequest,
        StartRun,
    )
    from darkroom.domain.names import SearchAttribute
    from darkroom.domain.orders import JobType
    from darkroom.domain.progress import JobStatus, Progress
    from darkroom.domain.receipts import Receipt
    from darkroom.domain.rounds import MAX_IMAGES_WITH_IDS
    from darkroom.domain.stage_state import StageState
    from darkroom.domain.webhooks import WebhookInput
    from workflows.batches import Batches, run_of_records
    from workflows.events import log
    from workflows.policies import BOOK_WRITE, CLEANING, RECORD_WRITE, SETTLEMENT
    from workflows.stage_delivery import StageDelivery
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
        self._run = OpenedRun()
        self._status = JobStatus.PENDING
        self._began: datetime = workflow.now()
        self._states: dict[int, StageState] = {}
        self._batches = Batches(job.job_id)
        self._receipt: Receipt | None = None

    @workflow.run
    async def run(self, _job: JobInput) -> Receipt:
        work = asyncio.create_task(self._work())
        try:
            # Unshielded, a cancel would take the children's results with it.
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.cancel(CancelRequest(reason="cancelled through Temporal"))
            return await work

    async def _work(self) -> Receipt:
        await self._open()
        if self._batches.superseded is None:
            delivering = asyncio.create_task(self._deliver())
            serving = [asyncio.create_task(self._relay()), asyncio.create_task(self._lift_spent_quotas())]
            await workflow.wait([delivering, *serving], return_when=asyncio.FIRST_COMPLETED)
            for task in serving:
                if task.done():
                    task.result()  # they never end by themselves; raises what ended it
                task.cancel()
            await delivering
        return await self._close()

    @workflow.signal
    def cancel(self, request: CancelRequest | None = None) -> None:
        """Begin nothing more; what is under way is delivered and charged."""
        if not self._batches.requested.cancel_requested:
            self._batches.request(cancel_requested=True, reason=request.reason if request else None)

    @workflow.signal
    def pause(self, request: PauseRequest | None = None) -> None:
        """Begin nothing more until `resume`."""
        if not self._batches.requested.paused and not self._batches.requested.ending:
            self._batches.request(paused=True, reason=(request and request.reason) or "paused by the user")

    @workflow.signal
    def resume(self) -> None:
        """Lift a pause, whoever made it."""
        if self._batches.requested.on_hold and not self._batches.requested.ending:
            self._batches.quotas.forget()
            self._batches.request(paused=False, quota_until=None, reason=None)

    @workflow.signal
    def report(self, report: BatchReport) -> None:
        """What a child has to tell."""
        if report.stage_index in self._states:
            self._states[report.stage_index].merge(report)
        self._batches.on_batch_report(report)
        self._show()

    @workflow.query
    def progress(self) -> Progress:
        """The job as it stands (spec §6)."""
        stages = tuple(state.progress() for state in self._states.values())
        with_ids = self._run.total_images <= MAX_IMAGES_WITH_IDS
        ids = tuple(attach_id for stage in stages for attach_id in stage.attach_ids or ())
        completed = sum(stage.completed for stage in stages)
        missing = sum(state.missing for state in self._states.values())
        in_run = sum(state.delivered_in_run for state in self._states.values())
        elapsed = (workflow.now() - self._began).total_seconds()
        running = self._status is JobStatus.PROCESSING and not self._batches.requested.holds
        return Progress(
            job_id=self._job.job_id,
            job_type=self._run.job_type,
            status=self._status,
            paused=self._batches.requested.on_hold and not self._status.ended,
            pause_reason=self._batches.requested.reason
            if self._batches.requested.on_hold and not self._status.ended
            else None,
            cancel_requested=self._batches.requested.cancel_requested,
            total_images=self._run.total_images,
            completed_images=completed,
            failed_images=self._run.total_images - completed
            if self._status in (JobStatus.COMPLETED, JobStatus.FAILED)
            else 0,
            generated_attach_ids=ids if with_ids else None,
            stages=stages,
            started_at=self._run.started_at,
            eta_seconds=progress.eta_seconds(in_run, missing, elapsed) if running else None,
            error_message=self._receipt.error_message if self._receipt else self._batches.failure,
        )

    async def _open(self) -> None:
        info = workflow.info()
        start = StartRun(
            job_id=self._job.job_id, run_id=run_of_records(), started_at=info.start_time, restart=self._job.restart
        )
        self._run = await workflow.execute_activity_method(
            JobActivities.open_job, start, summary="open", **RECORD_WRITE
        )
        self._began = workflow.now()
        self._batches.superseded = self._run.superseded
        if self._batches.superseded is not None:
            return
        self._status = JobStatus.PROCESSING
        self._batches.failure = self._run.failure
        self._batches.quotas = Quotas(self._run.providers)
        self._adopt(self._run.control)
        with_ids = self._run.total_images <= MAX_IMAGES_WITH_IDS
        self._states = {
            plan.stage_index: StageState(plan, self._run.providers, with_ids=with_ids) for plan in self._run.stages
        }
        attributes = [JOB_STATUS.value_set(self._status), JOB_TYPE.value_set(self._run.job_type)]
        if self._run.user_id is not None:
            attributes.append(USER_ID.value_set(str(self._run.user_id)))
        workflow.upsert_search_attributes(attributes)
        self._show()

    def _adopt(self, found: Control) -> None:
        """A run that takes over after a crash finds a pause or a cancel on the row; signals add to it."""
        self._batches.requested = Control(
            version=self._batches.requested.version,
            paused=self._batches.requested.paused or found.paused,
            quota_until=found.quota_until,
            reason=self._batches.requested.reason or found.reason,
            cancel_requested=self._batches.requested.cancel_requested or found.cancel_requested,
        )
        if self._batches.requested.holds:
            self._batches.request()

    async def _deliver(self) -> None:
        if self._batches.failure is not None:
            return
        # A wish that came before the job was open holds from the first image on.
        await workflow.wait_condition(lambda: self._batches.control.version == self._batches.requested.version)
        self._batches.undecided = set(self._states)
        await asyncio.gather(
            *(
                StageDelivery(
                    state,
                    self._run,
                    self._job.job_id,
                    self._batches,
                    on_report=self._batches.on_batch_report,
                    on_change=self._show,
                ).deliver()
                for state in self._states.values()
            )
        )

    async def _close(self) -> Receipt:
        if self._batches.superseded is not None:
            log("job turned away", job_id=str(self._job.job_id), reason=self._batches.superseded)
            return Receipt.nothing(self._job.job_id, self._batches.superseded)
        cancelled = self._batches.requested.cancel_requested
        for state in self._states.values():
            state.end(cancelled=cancelled, failure=self._batches.failure)
        end = End.FAILED if self._batches.failure else End.CANCELLED if cancelled else End.DELIVERED
        await self._finish_book(end)
        close = CloseRun(
            job_id=self._job.job_id,
            run_id=run_of_records(),
            end=end,
            error_message=self._batches.failure,
            stages=tuple(state.ending() for state in self._states.values()),
        )
        receipt: Receipt = await workflow.execute_activity_method(
            JobActivities.close_job, close, summary="close", **SETTLEMENT
        )
        self._receipt, self._status = receipt, receipt.status
        workflow.upsert_search_attributes([JOB_STATUS.value_set(self._status)])
        self._show()
        if self._run.webhook:
            known = WebhookInput(job_id=self._job.job_id, run_id=run_of_records())
            await start_webhook(known, f"webhook · {self._status}")
        await self._clean_up()
        event = "job cancelled" if receipt.status is JobStatus.CANCELLED else "job finished"
        log(
            event,
            job_id=str(self._job.job_id),
            status=str(receipt.status),
            completed=receipt.delivered,
            total=receipt.ordered,
            reason=receipt.error_message,
        )
        return receipt

    async def _finish_book(self, end: End) -> None:
        if self._run.job_type != JobType.STORYBOOK:
            return
        book = FinishBook(job_id=self._job.job_id, run_id=run_of_records(), end=end)
        try:
            await workflow.execute_activity_method(BookActivities.finish_book, book, summary="book", **BOOK_WRITE)
        except exceptions.ActivityError as error:
            # The pages are delivered and paid for: the job closes without its cover.
            log("book not finished", job_id=str(self._job.job_id), reason=str(error.cause or error))

    async def _clean_up(self) -> None:
        run = RunRef(job_id=self._job.job_id, run_id=run_of_records(), user_id=self._run.user_id)
        try:
            await workflow.execute_activity_method(JobActivities.remove_leftovers, run, summary="clean up", **CLEANING)
        except exceptions.ActivityError as error:
            log("leftovers stay", job_id=str(self._job.job_id), reason=str(error.cause or error))

    async def _relay(self) -> None:
        """Write each wish on the job's row first, then tell the children."""
        while True:
            await workflow.wait_condition(lambda: self._batches.requested.version > self._batches.control.version)
            requested = self._batches.requested
            await workflow.execute_activity_method(
                JobActivities.set_control,
                SetControlInput(job_id=self._job.job_id, run_id=run_of_records(), control=requested),
                summary="control",
                **RECORD_WRITE,
            )
            await self._batches.broadcast(requested)
            self._show()
            if requested.on_hold and not requested.ending:
                log("job paused", job_id=str(self._job.job_id), reason=requested.reason)

    async def _lift_spent_quotas(self) -> None:
        """When a spent quota is back, lift the pause it made, and only that one."""
        while True:
            await workflow.wait_condition(lambda: self._batches.requested.quota_until is not None)
            until = self._batches.requested.quota_until
            assert until is not None
            try:
                await workflow.wait_condition(
                    lambda until=until: self._batches.requested.quota_until != until,  # type: ignore[misc]  # a default binds it
                    timeout=max(until - workflow.now(), timedelta(seconds=1)),
                )
            except TimeoutError:
                self._batches.lift_quota_pause()

    def _show(self) -> None:
        """The job's page in the Temporal Web UI."""
        workflow.set_current_details(progress.markdown(self.progress()))
