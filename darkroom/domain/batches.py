"""What a job's workflow and its children say to each other."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from darkroom.domain.jobs import Control
from darkroom.domain.model import Value


class BatchInput(Value):
    """Up to 500 images of one round of one stage."""

    job_id: UUID
    run_id: str
    """The job's run, under which everything is recorded."""
    user_id: UUID | None
    stage_index: int
    quantity: int
    round: int
    provider: str
    ordinals: tuple[int, ...]
    control: Control
    delivered_before: int
    """Images of the stage that were delivered before this batch."""
    delivered_in_run: int
    refusals_in_run: int
    concurrency: int
    report_step: int
    with_ids: bool
    provider_timeout_seconds: float
    salvages: bool = False
    """Whether it delivers what the stage left in staging, and begins nothing."""
    generation: int = 0
    """That of the job's run."""
    has_fallback: bool = False
    """Whether another provider is left: then a batch ends when this one turns out to be down."""


class BatchReport(Value):
    """What is new since the last report; merged by the parent as a set."""

    stage_index: int
    delivered: int = 0
    pairs: tuple[tuple[int, int], ...] = ()
    """`[ordinal, attach_id]` of the new images, in jobs small enough to carry ids."""
    missed: int = 0
    refused: int = 0
    in_flight: int = 0
    reason: str | None = None
    """The newest reason of a miss or a refusal."""
    provider: str | None = None
    """Whose quota is spent."""
    quota_until: datetime | None = None
    quota_reason: str | None = None
    stopped: str | None = None
    """A permanent fault: the whole job stops."""


class BatchResult(Value):
    """How a batch ended."""

    report: BatchReport
    """What was not reported before."""
    decided: int = 0
    """Ordinals that were delivered, missed, refused or lost: what the round has used up."""
    refusals: int = 0
    """Refusals that do not stop the stage by themselves, in this batch."""
    refused: str | None = None
    """Why this provider makes no more of the stage."""
    refused_final: bool = False
    """Whether no other may be asked either."""
    provider_down: bool = False
    """Whether a picture was given up because the provider did not answer."""
    lost: int = 0
    """Ordinals of these whose call Temporal gave up: what became of them, the records may know."""
    quota_spent: bool = False
    superseded: str | None = Field(default=None, alias="turned_away")
    """The run may do nothing more: the job has ended, or another run has it."""
    held: bool = False
    """Whether the job's row held its calls though nothing was asked of it: that of a run which was reset since."""
    salvaged: bool = False
    """Whether it looked, at its end, for pictures that a dead worker had staged."""
    cancelled: bool = False
    """This batch was cancelled through Temporal: its stage stops."""


class NextOrdinalsInput(Value):
    """Ask which ordinals of a stage come next."""

    job_id: UUID
    stage_index: int
    limit: int


class RunRef(Value):
    """One run of one job, and whose files are its."""

    job_id: UUID
    run_id: str
    user_id: UUID | None


class StageRef(Value):
    """One stage of one job."""

    job_id: UUID
    stage_index: int


class DeliveredPageInput(Value):
    """Ask for a page of what is delivered of a stage, above an ordinal."""

    job_id: UUID
    stage_index: int
    after: int


class SetControlInput(Value):
    """Write on the job's row what was asked of it."""

    job_id: UUID
    run_id: str
    control: Control
