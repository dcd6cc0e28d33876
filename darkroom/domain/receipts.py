"""The receipt of an ended job (spec §4)."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from operator import attrgetter, itemgetter
from typing import Literal
from uuid import UUID

from pydantic import Field

from darkroom.domain.costs import Costs
from darkroom.domain.index_ranges import IndexRanges, index_ranges, indexes_of
from darkroom.domain.model import Compact, Value, is_none
from darkroom.domain.progress import JobStatus
from darkroom.domain.rounds import StageStatus
from darkroom.domain.stage_labels import number_of_stage

LONGEST_REASON = 300
"""Characters."""

MOST_REASONS = 100
"""Different reasons of the stages of a job."""

OTHER_REASON = "one of very many different reasons; the attempts in the records have them"

MOST_MISSING = 100
"""Short stages that a workflow's result names."""


class StageEnd(Value):
    """How one stage ended, as the workflow saw it."""

    stage_index: int
    status: StageStatus
    reason: str | None = None


class StagesEnd(Compact):
    """How several stages ended, all in the same way."""

    stages: IndexRanges
    status: StageStatus
    reason: str | None = None


def grouped(ends: Iterable[StageEnd]) -> tuple[StagesEnd, ...]:
    """The ends of stages, in the order of the first stage of each group.

    Reasons are shortened so that they fit into a history's payload together. Of very many different ones, those that
    come first are kept.
    """
    indexes: dict[tuple[StageStatus, str | None], list[int]] = {}
    for end in ends:
        indexes.setdefault((end.status, end.reason), []).append(end.stage_index)
    room = room_of_each(min(MOST_REASONS, len(indexes)))
    groups: dict[tuple[StageStatus, str | None], list[int]] = {}
    for number, ((status, reason), stages) in enumerate(indexes.items()):
        kept = OTHER_REASON if reason and number >= MOST_REASONS else reason
        groups.setdefault((status, kept and shorten(kept, most_bytes=room)), []).extend(stages)
    return tuple(
        StagesEnd(stages=index_ranges(stages), status=status, reason=reason)
        for (status, reason), stages in groups.items()
    )


def each_end(groups: Iterable[StagesEnd]) -> tuple[StageEnd, ...]:
    """The ends of stages one by one, in their order."""
    ends = (
        StageEnd(stage_index=index, status=group.status, reason=group.reason)
        for group in groups
        for index in indexes_of(group.stages)
    )
    return tuple(sorted(ends, key=attrgetter("stage_index")))


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
    costs: Costs | None = Field(default=None, exclude_if=is_none)
    """What the calls cost; left out for customers, and where it was not counted yet."""

    def drawn_up(self, credit_usd: Decimal | None) -> "Tally":
        """With the account of what was charged and what it cost."""
        costs = None if self.costs is None else self.costs.drawn_up(self.charged, credit_usd)
        return self.model_copy(update={"costs": costs})


class Receipt(Value):
    """What was ordered, delivered, missing and charged."""

    job_id: UUID
    job_type: str
    status: JobStatus
    org_id: UUID | None = Field(default=None, exclude_if=is_none)
    """The organization that paid; left out where the user did. Workers of before know nothing of it."""
    ordered: int
    delivered: int
    missing: tuple[StageMissing, ...] = ()
    more_missing: int = 0
    """Short stages beyond those in `missing`: a workflow's result names at most 100."""
    unit_price: int = 0
    prices: tuple[int, ...] | None = Field(default=None, exclude_if=is_none)
    """What its pictures cost, ascending, where that is not the same for all; else left out."""
    error_message: str | None = None
    total: Tally = Tally()
    last_run: Tally = Tally()

    @property
    def leaves_nothing(self) -> bool:
        """Whether every call that was ever made for the job is a delivered image: nothing can be left in staging."""
        return self.status is JobStatus.COMPLETED and self.total.provider_calls == self.delivered

    def drawn_up(self, credit_usd: Decimal | None) -> "Receipt":
        """With the accounts of the job and of its last run, at so many dollars a credit."""
        return self.model_copy(
            update={"total": self.total.drawn_up(credit_usd), "last_run": self.last_run.drawn_up(credit_usd)}
        )

    def for_history(self) -> "Receipt":
        """The receipt as the result of a workflow, where a payload has 16 KiB."""
        if len(self.missing) <= MOST_MISSING:
            return self
        room = room_of_each(MOST_MISSING)
        named = tuple(
            stage.model_copy(update={"reason": shorten(stage.reason, most_bytes=room)})
            for stage in self.missing[:MOST_MISSING]
        )
        return self.model_copy(update={"missing": named, "more_missing": len(self.missing) - MOST_MISSING})

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


def shorten(reason: str, longest: int = LONGEST_REASON, most_bytes: int | None = None) -> str:
    """A reason of at most so many characters, and bytes of UTF-8, that still ends in its remedy.

    What is cut, and visibly so, is the middle, where the words of others are quoted. The remedy is what follows the
    last semicolon; without one, half of what is kept comes from the end.
    """
    text = reason.encode("utf-8", "replace").decode()
    kept = min(longest, len(text))
    remedy = text[text.rfind("; ") :] if "; " in text else ""
    if len(remedy) > kept * 3 // 4 or (most_bytes is not None and len(remedy.encode()) > most_bytes * 3 // 4 - 3):
        remedy = ""  # it would leave no room for what went wrong
    cut = text
    while len(cut) > longest or (most_bytes is not None and len(cut.encode()) > most_bytes):
        tail = remedy or text[len(text) - kept // 2 :]
        cut = f"{text[: max(0, kept - 1 - len(tail))]}…{tail}"
        kept -= 1
    return cut


def room_of_each(reasons: int) -> int:
    """Bytes for each reason of a receipt, so that those of 100 short stages fit into a history's payload of 16 KiB."""
    return max(80, 8_000 // max(1, reasons))


def nothing_delivered(missing: Sequence[StageMissing]) -> str:
    """Why a job delivered nothing, from the reasons of its stages: each reason once, three at most."""
    first = {stage.reason: stage.stage_index for stage in reversed(missing)}
    stages = sorted(first.items(), key=itemgetter(1))[:3]
    if len(first) == 1:
        return f"nothing was delivered: {stages[0][0]}"
    room = (LONGEST_REASON - 30) // max(1, len(stages)) - len("stage 999: ; ")
    each = (f"{number_of_stage(index)}: {shorten(why, room)}" for why, index in stages)
    return "nothing was delivered: " + "; ".join(each)
