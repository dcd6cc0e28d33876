"""Progress as clients read it (spec §6)."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from pydantic import field_validator

from darkroom.domain.clean_text import as_markdown
from darkroom.domain.model import Value
from darkroom.domain.rounds import StageStatus
from darkroom.domain.stage_labels import StageLabel

MOST_ROWS = 100
"""Stages in a table of the Temporal Web UI; of more, those are shown that are neither waiting nor complete."""


class JobStatus(StrEnum):
    """The status of a job. Paused is a flag beside `processing`, not a status."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless the job is restarted."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)

    @classmethod
    def _missing_(cls, value: object) -> "JobStatus | None":
        return cls.CANCELLED if value in CANCELLED_WORDS else None


CANCELLED_WORDS = ("cancelled", "user_cancelled")
"""What stands for `cancelled` on a job's row (`CANCELLED_STATUS`, spec §2): the first is ours, both are read."""


def words_of(status: JobStatus) -> tuple[str, ...]:
    """What rows of a status say."""
    return CANCELLED_WORDS if status is JobStatus.CANCELLED else (status.value,)


class StageProgress(Value):
    """The progress of one stage."""

    stage_index: int
    label: StageLabel
    quantity: int
    completed: int = 0
    in_flight: int = 0
    round: int = 0
    status: StageStatus = StageStatus.WAITING
    reason: str | None = None
    missed: int = 0
    refused: int = 0
    attach_ids: tuple[int, ...] | None = ()
    retrying: int = 0
    """Calls that failed and are retried: in back-off, or in their next attempt."""
    fault: str | None = None
    """Why the newest of them failed."""
    since: datetime | None = None
    """When the first of them failed."""


class FailingProvider(Value):
    """A provider that has answered a job with nothing but faults for a while."""

    provider: str
    reason: str
    """Of the newest fault."""
    since: datetime
    retrying: int
    """The job's calls to it that are being retried."""


class Progress(Value):
    """A job's progress, from its workflow's `progress` query or from the records."""

    job_id: UUID
    job_type: str
    status: JobStatus
    paused: bool = False
    pause_reason: str | None = None
    cancel_requested: bool = False
    total_images: int
    completed_images: int
    failed_images: int = 0
    generated_attach_ids: tuple[int, ...] | None = ()
    stages: tuple[StageProgress, ...] = ()
    started_at: datetime | None = None
    eta_seconds: float | None = None
    error_message: str | None = None
    stalled: bool = False
    """Whether nothing was delivered or missed for a while (STALLED_AFTER), although something is wanted."""
    failing: tuple[FailingProvider, ...] = ()
    without_worker: tuple[str, ...] = ()
    """Task queues that the job needs and no worker serves; empty where nobody looked."""

    @field_validator("failing", "without_worker", mode="before")
    @classmethod
    def _empty_lists_may_be_null(cls, value: object) -> object:
        """The `temporal` program shows them so."""
        return () if value is None else value

    @property
    def keeps_still(self) -> bool:
        """Whether nothing moves, so that no pace and no time left would be true."""
        missing = self.total_images - self.completed_images
        only_retries = 0 < missing <= sum(stage.retrying for stage in self.stages)
        return self.stalled or only_retries or bool(self.failing or self.without_worker)


def trails(told: Progress, recorded: Progress) -> bool:
    """Whether a workflow's answer lacks pictures that are settled, or ids of those it counts.

    It does until the next report of a batch, which takes long when its worker died, and after a restart until it has
    read the ids. The stages of the records are compared: their job's row trails as well.
    """
    ids = told.generated_attach_ids
    if ids is None:
        return told.completed_images < sum(stage.completed for stage in recorded.stages)
    settled = {attach_id for stage in recorded.stages for attach_id in stage.attach_ids or ()}
    return len(ids) != told.completed_images or not settled <= set(ids)


def caught_up(told: Progress, recorded: Progress) -> Progress:
    """A workflow's answer with the pictures that the records knew after it."""
    known = {stage.stage_index: stage for stage in recorded.stages}
    stages = tuple(
        stage.model_copy(update={"completed": settled.completed, "attach_ids": settled.attach_ids})
        if (settled := known.get(stage.stage_index))
        else stage
        for stage in told.stages
    )
    ids = tuple(attach_id for stage in stages for attach_id in stage.attach_ids or ())
    return told.model_copy(
        update={
            "completed_images": sum(stage.completed for stage in stages),
            "generated_attach_ids": None if told.generated_attach_ids is None else ids,
            "stages": stages,
        }
    )


def eta_seconds(delivered_in_run: int, missing: int, elapsed: float) -> float | None:
    """Seconds left at the pace of this run so far; None before the first image and when nothing is left."""
    if delivered_in_run <= 0 or missing <= 0 or elapsed <= 0:
        return None
    return round(missing * elapsed / delivered_in_run, 1)


def markdown(progress: Progress) -> str:
    """The job's page in the Temporal Web UI: the same numbers as a Markdown table."""
    state = "paused" if progress.paused else progress.status.value
    if progress.cancel_requested and not progress.status.ended:
        state = "cancelling"
    lines = [
        f"**{progress.completed_images} of {progress.total_images}** · {state}",
        "",
        _row("stage", "delivered", "in flight", "round", "status", "missed", "refused", "reason"),
        "|---|---|---|---|---|---|---|---|",
    ]
    shown = progress.stages
    if len(shown) > MOST_ROWS:
        at_rest = (StageStatus.WAITING, StageStatus.COMPLETE)
        shown = tuple(stage for stage in shown if stage.status not in at_rest)[:MOST_ROWS]
    lines += [
        _row(
            stage.label,
            f"{stage.completed} of {stage.quantity}",
            stage.in_flight,
            stage.round,
            stage.status,
            stage.missed,
            stage.refused,
            reason_of(stage),
        )
        for stage in shown
    ]
    if len(shown) < len(progress.stages):
        counts = Counter(stage.status for stage in progress.stages)
        told = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        lines += ["", f"{len(progress.stages):,} stages: {told}"]
    if progress.pause_reason:
        lines += ["", as_markdown(progress.pause_reason)]
    return "\n".join(lines)


def utc(moment: datetime) -> str:
    """The time of day, for readers whose time zone is not known."""
    return f"{moment.astimezone(UTC):%H:%M} UTC"


def reason_of(stage: StageProgress, clock: Callable[[datetime], str] = utc) -> str:
    """Why a stage is short, or waits: its retries before what was said earlier. Empty without a reason."""
    if stage.retrying:
        since = "" if stage.since is None else f" since {clock(stage.since)}"
        return f"retrying {stage.retrying:,}{since}: {stage.fault}"
    return stage.reason or ""


def _row(*cells: object) -> str:
    # The Web UI draws tables without padding; the wide spaces keep "stage 1" and "30 of 30" apart.
    # A label or a reason may hold anything.
    return "".join(f"| {as_markdown(str(cell))}\u2003" for cell in cells) + "|"
