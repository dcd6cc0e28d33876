"""The receipt of an ended job (spec §4)."""

from typing import Literal
from uuid import UUID

from darkroom.domain.model import Value
from darkroom.domain.progress import JobStatus
from darkroom.domain.rounds import StageStatus

LONGEST_REASON = 80
"""Bytes (UTF-8) of a reason in a receipt: 100 short stages stay below the 16 KiB of a history payload."""


class StageEnd(Value):
    """How one stage ended, as the workflow saw it."""

    stage_index: int
    status: StageStatus
    reason: str | None = None


class StageMissing(Value):
    """How many pictures a stage is missing, and why."""

    stage_index: int
    missing: int
    reason: str


class MadeBy(Value):
    """One provider's calls and delivered pictures."""

    provider: str
    calls: int
    delivered: int


class Tally(Value):
    """What was done and charged, for a whole job or for one run of it."""

    delivered: int = 0
    charged: int = 0
    """Credits."""
    released: int = 0
    """Credits returned from the hold."""
    provider_calls: int = 0
    unknown_calls: int = 0
    """Calls without an outcome: their worker died. Unknown, possibly billed by the provider."""
    misses: int = 0
    refusals: int = 0
    faults: int = 0
    top_up_rounds: int = 0
    seconds: float = 0.0
    made_by: tuple[MadeBy, ...] = ()
    """Which provider made how many, by name."""


class Receipt(Value):
    """What was ordered, delivered, missing and charged."""

    job_id: UUID
    job_type: str
    status: JobStatus
    ordered: int
    delivered: int
    missing: tuple[StageMissing, ...] = ()
    unit_price: int = 0
    error_message: str | None = None
    total: Tally = Tally()
    last_run: Tally = Tally()

    @property
    def severity(self) -> Literal["info", "warning", "error"]:
        """How loudly the end of the job is logged: short of what was ordered, or failed."""
        if self.status is JobStatus.FAILED:
            return "error"
        return "warning" if self.status is JobStatus.COMPLETED and self.delivered < self.ordered else "info"

    @classmethod
    def nothing(cls, job_id: UUID, reason: str) -> "Receipt":
        """What a run returns that was not allowed to do anything; the job keeps its own receipt."""
        return cls(job_id=job_id, job_type="", status=JobStatus.CANCELLED, ordered=0, delivered=0, error_message=reason)


def shorten(reason: str, longest: int = LONGEST_REASON) -> str:
    """A reason of at most `longest` bytes: cut at the end, and visibly so."""
    data = reason.encode("utf-8", "replace")
    cut = data if len(data) <= longest else data[: longest - len("…".encode())] + "…".encode()
    return cut.decode("utf-8", "ignore")
