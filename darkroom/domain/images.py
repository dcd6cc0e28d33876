"""One image on its way: what providers answer, and what its four activities take and return."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from darkroom.domain import names
from darkroom.domain.costs import Usd
from darkroom.domain.formats import ImageSize
from darkroom.domain.model import Compact, Value, is_none


class ReferenceImage(Value):
    """A reference as a provider gets it: the file's bytes and its media type."""

    data: bytes
    media_type: str


class ImageRequest(Value):
    """One call: everything a provider may use to draw one picture."""

    prompt: str
    aspect_ratio: str
    image_size: ImageSize = ImageSize.K1
    references: tuple[ReferenceImage, ...] = ()
    stage_index: int = 0
    ordinal: int = 0
    attempt: int = 1
    """Which try at this ordinal this is, from 1; makes the offline provider's faults pass."""


class Answer(Value):
    """What every answer of a provider tells."""

    cost_usd: Usd | None = None
    """What the provider asks for the call; None where nobody can tell."""


class Generated(Answer):
    """The provider answered with bytes that say they are a picture."""

    data: bytes


class Missed(Answer):
    """The provider answered without a usable picture; a top-up makes up for it."""

    reason: str


class Refused(Answer):
    """The provider blocks this prompt or reference by policy."""

    reason: str
    final: bool = False
    """Whether asking again can only be refused again."""


class QuotaSpent(Answer):
    """The provider's daily quota is used up."""

    reason: str
    until: datetime
    """When it is back, with its time zone."""


class Stopped(Answer):
    """Nothing will work until somebody fixes this; the job stops."""

    reason: str


ProviderAnswer = Generated | Missed | Refused | QuotaSpent | Stopped


class Outcome(StrEnum):
    """How one provider call, or one execution of `generate`, ended."""

    GENERATED = "generated"
    MISSED = "missed"
    REFUSED = "refused"
    QUOTA_SPENT = "quota_spent"
    STOPPED = "stopped"
    FAULT = "fault"
    """Transient: retried by Temporal. Only in the attempts table."""
    DELIVERED = "delivered"
    """Was already delivered when the activity came. Only as a result."""
    HELD = "held"
    """Not begun: paused, cancelled, ended or under another run. Only as a result."""
    UNNEEDED = "unneeded"
    """No call was made: its stage has its quantity. Only as a result."""
    LOST = "lost"
    """Temporal gave up: it failed in ways nobody expected, or its workers kept dying. Only as a result."""


class ImageKey(Value):
    """Which picture of which job: the idempotency key of everything done for it."""

    job_id: UUID
    stage_index: int
    ordinal: int

    def __str__(self) -> str:
        return names.settlement_key(self.job_id, self.stage_index, self.ordinal)

    def staging(self, call_id: UUID | None) -> str:
        """Where the bytes of one of its calls wait until it is settled; None: where version 0.1 kept them."""
        return names.staging_key(self.job_id, self.stage_index, self.ordinal, call_id)

    def final(self, user_id: UUID | None, call_id: UUID | None = None, suffix: str = ".webp") -> str:
        """Where its delivered file lies, drawn by this call."""
        return names.image_key(self.job_id, user_id, self.stage_index, self.ordinal, call_id, suffix)


class GenerateInput(Value):
    """Ask for one image of one round."""

    key: ImageKey
    run_id: str
    round: int
    provider: str


class GenerateResult(Compact):
    """What came of asking for one image; the bytes are in staging."""

    outcome: Outcome
    call_id: UUID | None = None
    media_type: str | None = None
    size: int | None = None
    sha256: str | None = None
    seconds: float | None = None
    """How long the provider took."""
    cost_usd: Usd | None = None
    """What the provider asks for the call, where the picture is still to be recorded."""
    attach_id: int | None = None
    reason: str | None = None
    final: bool = False
    gave_up: bool = False
    """With a miss: the provider did not answer as often as it was asked."""
    until: datetime | None = None


class FindStagedInput(Value):
    """Ask which images of a stage wait in staging without being delivered, above an ordinal."""

    job_id: UUID
    stage_index: int
    after: int
    calls_end_within_seconds: float | None = None
    """Wait first for the calls of the stage that are in progress, each at most until so long after its start."""


class StagedImage(Value):
    """One image that waits, and the call that made it."""

    ordinal: int
    call_id: UUID


class FindStagedResult(Value):
    """A page of them."""

    found: tuple[StagedImage, ...] = ()
    next_after: int | None = None
    """Ask again above this ordinal; None when there are no more."""


class UploadInput(Value):
    """Move one staged image to its final place."""

    key: ImageKey
    user_id: UUID | None
    """Whose folder it goes to."""
    call_id: UUID | None
    cost_usd: Usd | None = Field(default=None, exclude_if=is_none)
    """What the call cost, where this execution knows: a file that is no picture has cost it, too."""


class UploadResult(Compact):
    """Where the encoded file lies; or, for other outcomes than generated, why it does not."""

    outcome: Outcome
    path: str | None = None
    size: int | None = None
    """Bytes of the encoded file."""
    sha256: str | None = None
    attach_id: int | None = None
    reason: str | None = None


class AttachInput(Value):
    """Record the stored file of one image."""

    key: ImageKey
    run_id: str
    call_id: UUID | None
    seconds: float | None = None
    """How long the provider took, where this execution knows."""
    cost_usd: Usd | None = Field(default=None, exclude_if=is_none)
    """What the call cost, where this execution knows."""
    path: str
    size: int
    sha256: str

    @property
    def directory(self) -> str:
        """Where the file lies."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


class AttachResult(Value):
    """The attachment of the image, new or found; None when the run may no longer attach."""

    attach_id: int | None
    reason: str | None = None


class CreditInput(Value):
    """Settle one image: make it count and charge for it."""

    key: ImageKey
    run_id: str


class Settlement(StrEnum):
    """What came of settling."""

    SETTLED = "settled"
    STAGE_FULL = "stage_full"
    RUN_REFUSED = "run_refused"
    """The job is not processing under this run."""
    INSUFFICIENT = "insufficient"
    """Whoever pays cannot: too few credits, or an organization that may not pay for this user (any more)."""
    REFUSED = "refused"
    """The records refuse this image alone, in a group: retrying cannot help, and the job stops."""


class CreditResult(Compact):
    """The result of the one settlement of an image; the same however often it is asked for."""

    settlement: Settlement
    attach_id: int | None = None
    reason: str | None = None
