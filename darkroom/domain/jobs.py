"""A job's row, its runs and what opening and closing say."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, JsonValue

from darkroom.domain.continuing import LONG_HISTORY, Continued
from darkroom.domain.job_names import GivenName, KeptName
from darkroom.domain.model import Value
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import StageEnd, StagesEnd
from darkroom.domain.rounds import StagePlan


class NewJob(Value):
    """A job to be stored as pending."""

    job_id: UUID
    job_type: str
    user_id: UUID | None
    org_id: UUID | None = None
    """The organization that pays instead of the user."""
    production_id: UUID | None
    name: GivenName = None
    document: dict[str, JsonValue]
    total_images: int
    priority: int
    webhook_url: str | None = None


class JobRow(Value):
    """The job's row as clients poll it."""

    job_id: UUID
    job_type: str | None
    status: JobStatus
    name: KeptName = None
    user_id: UUID | None
    production_id: UUID | None
    paused: bool
    pause_reason: str | None
    cancel_requested: bool
    total_images: int
    completed_images: int
    failed_images: int
    generated_attach_ids: tuple[int, ...]
    error_message: str | None
    retry_count: int
    run_id: str | None = None
    """The run that opened it last."""
    unit_price: int | None
    """Credits an image, fixed when the job first opened."""
    org_id: UUID | None = None
    """The organization that pays; None where the user does."""
    priority: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime
    deleted_at: datetime | None = None
    """When it was deleted; its numbers stay."""


class JobInput(Value):
    """The whole input of a job's workflow: which job, and whether an ended one may open again."""

    job_id: UUID
    restart: bool = False
    continued: Continued | None = None
    """What an execution that became too long left to this one."""
    generation: int = 0
    """Of the commands that may precede its opening, from when on the run's own counts."""


class Control(Value):
    """What was asked of a running job. A higher version replaces a lower one, never the reverse."""

    version: int = 0
    paused: bool = False
    """By the user: lifted by `resume` only."""
    quota_until: datetime | None = None
    """By a spent daily quota: lifted when it is back, and by `resume`."""
    reason: str | None = None
    """Why paused, or why cancelled."""
    cancel_requested: bool = False
    failing: bool = False
    """A permanent fault was met: nothing new is begun, what is in progress finishes."""
    request: int = 0
    """The highest number of a client's request that is contained in this."""

    @property
    def on_hold(self) -> bool:
        """Whether the job is paused, by the user or by a spent quota."""
        return self.paused or self.quota_until is not None

    @property
    def ending(self) -> bool:
        """Whether nothing will be begun any more in this run."""
        return self.cancel_requested or self.failing

    @property
    def holds(self) -> bool:
        """Whether no provider call may start."""
        return self.on_hold or self.ending


class StartRun(Value):
    """A run asks to be opened."""

    job_id: UUID
    run_id: str
    started_at: datetime
    """When Temporal started the run: an older run never takes over from a newer one."""
    restart: bool
    stages_after: int = -1
    """Tell the stages after this one, a page of them: a run that is open already."""


GENERATION = 3
"""The newest generation of the workflows' commands, which the worker that opens a run gives it and all of its batches.

0: runs of before there were generations. 1 (0.2): the images of a batch take their steps in groups; what a batch told
is not asked of the records again; nothing is cleaned up where nothing is left; a batch whose calls have all ended
leaves its last news to its result; and what `workflows/patches.py` asks for with `has`. 2 (0.2): stages deliver some
at a time; which ordinals a top-up makes, and what a batch with misses delivered, is not asked of the records where the
workflow was told all of it; how the stages ended is told in groups. 3 (0.2): a run is opened and closed, and pictures
are attached and settled where no call is still to begin, within the workflow task (`workflows/local_steps.py`).
"""


class OpenedRun(Value):
    """What a run needs to know, in numbers."""

    superseded: str | None = Field(default=None, alias="turned_away")
    """Why this run may do nothing at all; the job is left as it is."""
    failure: str | None = None
    """Why the job fails immediately."""
    job_type: str = ""
    user_id: UUID | None = None
    total_images: int = 0
    stages: tuple[StagePlan, ...] = ()
    """A page of them in a history; more follow the last one while `more_stages`."""
    more_stages: bool = False
    stages_at_once: int = 0
    """How many deliver at a time; 0 for all, as runs of before."""
    max_top_ups: int = 0
    providers: tuple[str, ...] = ()
    """Who draws: the first, and when that one cannot, the next."""
    top_up_delay_seconds: float = 2.0
    stage_concurrency: int = 25
    provider_timeout_seconds: float = 180.0
    control: Control = Control()
    started_at: datetime | None = None
    webhook: bool = False
    """Whether the end is sent to a webhook; its URL is only in the records."""
    long_history: int = LONG_HISTORY
    """Events after which it makes a quiet moment to continue as new."""
    generation: int = 0
    """A run keeps the one with which it was opened."""
    fresh: bool = False
    """Whether no call can have been made yet: the ordinals begin at 0, and nobody needs to be asked for them."""


class End(StrEnum):
    """Why a run of a job closes."""

    DELIVERED = "delivered"
    """Every stage delivered what it could."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    """A permanent fault."""


class CloseRun(Value):
    """A run says that nothing more will come."""

    job_id: UUID
    run_id: str
    end: End
    error_message: str | None = None
    stages: tuple[StageEnd, ...] = ()
    ends: tuple[StagesEnd, ...] = ()
    """The same in groups, for a history."""
    unopened: StartRun | None = None
    """The run could not be opened: it is opened as one that fails, and closed."""


class FinishBook(Value):
    """A storybook's run is about to close."""

    job_id: UUID
    run_id: str
    end: End


class Request(StrEnum):
    """What clients ask of a job."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"


class NumberedRequest(Value):
    """A request as the records took it down."""

    number: int | None
    """Its place among the job's requests; None when the job has ended, and the request is not sent."""
    changed: bool
    """Whether it asks for anything that was not asked for before."""


RequestNumber = Annotated[int, Field(ge=1, lt=2**31)]
"""What the records can have given a request. A signal with another one is odd, and changes nothing."""


class CancelRequest(Value):
    """The `cancel` signal; may be sent without."""

    reason: str | None = None
    number: RequestNumber | None = None
    """Which of the job's requests this is, where the records numbered it."""


class PauseRequest(Value):
    """The `pause` signal; may be sent without."""

    reason: str | None = None
    number: RequestNumber | None = None


class ResumeRequest(Value):
    """The `resume` signal; may be sent without."""

    number: RequestNumber | None = None


Document = dict[str, Any]
"""An order document as it came: JSON or YAML, nothing known of it yet."""
