"""What a job's workflow knows of its job: the run as it was opened, its stages, how it ended."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from darkroom.domain import progress
from darkroom.domain.batches import BatchReport
from darkroom.domain.continuing import Continued, Reasons, each_ended, ended_together
from darkroom.domain.job_control import JobControl
from darkroom.domain.jobs import End, OpenedRun
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.receipts import Receipt, StageEnd, room_of_each
from darkroom.domain.rounds import MAX_IMAGES_WITH_IDS
from darkroom.domain.stage_state import StageState


class JobState:
    """A run of a job from its start to its receipt."""

    def __init__(self, job_id: UUID, now: datetime) -> None:
        self._job_id = job_id
        self._began = now
        self._stages: dict[int, StageState] = {}
        self.run = OpenedRun()
        """What the records said when they opened the run."""
        self.status = JobStatus.PENDING

    @property
    def stages(self) -> Collection[StageState]:
        """The stages in their order."""
        return self._stages.values()

    def open(self, run: OpenedRun, now: datetime, continued: Continued | None = None) -> None:
        """The records have opened the run; one that is superseded knows nothing of the job."""
        self.run, self._began = run, continued.began if continued else now
        if run.superseded is None:
            self.status = JobStatus.PROCESSING
            with_ids = run.total_images <= MAX_IMAGES_WITH_IDS
            self._stages = {
                plan.stage_index: StageState(plan, run.providers, with_ids=with_ids, fresh=run.fresh)
                for plan in run.stages
            }
            if continued is not None:
                kept = {stage.stage_index: stage for stage in (*continued.stages, *each_ended(continued.ended))}
                reasons = Reasons(continued.reasons)
                for index, stage in self._stages.items():
                    stage.restore(kept.get(index), reasons)

    def keep(self, run_id: str, control: JobControl) -> Continued:
        """What another execution of the job has to know; asked at a quiet moment, when no batch runs."""
        reasons = Reasons()
        stages = [kept for stage in self._stages.values() if (kept := stage.keep(reasons)) is not None]
        grouped = self.run.generation >= 2
        return Continued(
            run_id=run_id,
            began=self._began,
            stages=tuple(stage for stage in stages if not (grouped and stage.ended)),
            ended=ended_together(stage for stage in stages if stage.ended) if grouped else (),
            reasons=tuple(reasons.kept),
            quotas=control.quotas.keep(),
        )

    @property
    def decided(self) -> int:
        """Images that were delivered, missed or refused, as far as the workflow was told."""
        return sum(stage.decided for stage in self._stages.values())

    def merge(self, report: BatchReport) -> None:
        """Take in what a batch reports."""
        if report.stage_index in self._stages:
            self._stages[report.stage_index].merge(report)

    def end_stages(self, control: JobControl) -> tuple[End, tuple[StageEnd, ...]]:
        """How the job ends, and each of its stages; asked when everything that was requested is applied.

        Reasons have as much room as a history gives them, one by one; who groups them makes room for more.
        """
        cancelled = control.requested.cancel_requested
        for stage in self._stages.values():
            stage.end(cancelled=cancelled, failure=control.failure)
        end = End.FAILED if control.failure else End.CANCELLED if cancelled else End.DELIVERED
        reasons = sum(stage.reason is not None for stage in self._stages.values())
        room = room_of_each(reasons) if self.run.generation < 2 else None
        return end, tuple(stage.ending(room) for stage in self._stages.values())

    def close(self, receipt: Receipt) -> None:
        """The records have closed the run."""
        self.status = receipt.status

    def progress(self, control: JobControl, now: datetime, error_message: str | None) -> Progress:
        """The job as it stands (spec §6)."""
        stages = tuple(stage.progress() for stage in self._stages.values())
        total = self.run.total_images
        completed = sum(stage.completed for stage in stages)
        missing = sum(stage.missing for stage in self._stages.values())
        in_run = sum(stage.delivered_in_run for stage in self._stages.values())
        requested = control.requested
        running = self.status is JobStatus.PROCESSING and not requested.holds
        paused = requested.on_hold and not self.status.ended
        short = self.status in (JobStatus.COMPLETED, JobStatus.FAILED)
        ids = tuple(attach_id for stage in stages for attach_id in stage.attach_ids or ())
        return Progress(
            job_id=self._job_id,
            job_type=self.run.job_type,
            status=self.status,
            paused=paused,
            pause_reason=requested.reason if paused else None,
            cancel_requested=requested.cancel_requested,
            total_images=total,
            completed_images=completed,
            failed_images=total - completed if short else 0,
            generated_attach_ids=ids if total <= MAX_IMAGES_WITH_IDS else None,
            stages=stages,
            started_at=self.run.started_at,
            eta_seconds=progress.eta_seconds(in_run, missing, (now - self._began).total_seconds()) if running else None,
            error_message=error_message,
        )
