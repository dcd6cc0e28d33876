"""What a job's workflow takes along when it continues as new: numbers, and the few reasons that its stages have.

It is the input of the next execution, so it stays small: what a stage has as it began, or is complete, is not in it.
What is delivered, asked and paused is read from the records, as when a run opens.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from darkroom.domain.index_ranges import IndexRanges, index_ranges, indexes_of
from darkroom.domain.model import Compact
from darkroom.domain.receipts import shorten
from darkroom.domain.rounds import StageStatus

MOST_REASONS = 20
"""Different reasons that are kept; stages whose reason is another one say none."""

ROOM_FOR_A_REASON = 300
"""Bytes: what a job takes along, with 100 stages, stays below the 16 KiB of a payload."""

ENOUGH_HISTORY = 2_000
"""Events after which a job continues as new at the next quiet moment: each task of a workflow that no worker has in
memory replays them all, and has 10 s for it."""

LONG_HISTORY = 10_000
"""Events after which a job makes a quiet moment to continue as new; the server ends a workflow at 51,200."""


class TurnsKept(Compact):
    """Whose turn it is in a stage."""

    next: int = 0
    refused_last: str | None = None
    refusing: tuple[str, ...] = ()
    refusals: tuple[tuple[str, int], ...] = ()


class StageKept(Compact):
    """A stage that has begun."""

    stage_index: int
    round: int = 0
    left: int | None = None
    """What its round still has to make; None once it has ended."""
    batch: int = 0
    """The number of the round's next batch."""
    delivered_at_start: int | None = 0
    """None where nobody needs it any more: the records say what is delivered."""
    stopped: bool = False
    cancelled: bool = False
    ended: StageStatus | None = None
    """None in what a job passes on today, which names stages that have ended in `Continued.ended`; older histories name
    them here."""
    reason: int | None = None
    """Which of the reasons it says."""
    turns: TurnsKept = TurnsKept()


class EndedKept(Compact):
    """Stages that have ended short, all in the same way."""

    stages: IndexRanges
    status: StageStatus
    round: int = 0
    reason: int | None = None
    """Which of the reasons they say."""


class QuotaKept(Compact):
    """A provider whose daily quota is spent, or was."""

    provider: str
    until: datetime | None = None
    reason: str | None = None
    pauses: int = 0


class Continued(Compact):
    """Where the execution before left off."""

    run_id: str
    """The run that the records know."""
    began: datetime
    """When the run opened, for the time that is left."""
    stages: tuple[StageKept, ...] = ()
    ended: tuple[EndedKept, ...] = ()
    reasons: tuple[str, ...] = ()
    quotas: tuple[QuotaKept, ...] = ()


class Reasons:
    """The different reasons of the stages, each kept once."""

    def __init__(self, kept: Iterable[str] = ()) -> None:
        self.kept = list(kept)

    def number(self, reason: str | None) -> int | None:
        """Where a reason is kept; None for none, and for one too many."""
        if reason is None:
            return None
        reason = shorten(reason, most_bytes=ROOM_FOR_A_REASON)
        if reason not in self.kept:
            if len(self.kept) == MOST_REASONS:
                return None
            self.kept.append(reason)
        return self.kept.index(reason)

    def of(self, number: int | None) -> str | None:
        """The reason that was kept there."""
        return None if number is None else self.kept[number]


def ended_together(stages: Iterable[StageKept]) -> tuple[EndedKept, ...]:
    """Stages that have ended, in groups."""
    indexes: dict[tuple[StageStatus, int, int | None], list[int]] = {}
    for stage in stages:
        if stage.ended is not None:
            indexes.setdefault((stage.ended, stage.round, stage.reason), []).append(stage.stage_index)
    return tuple(
        EndedKept(stages=index_ranges(group), status=status, round=round_, reason=reason)
        for (status, round_, reason), group in indexes.items()
    )


def each_ended(groups: Iterable[EndedKept]) -> Iterator[StageKept]:
    """The stages of the groups one by one."""
    for group in groups:
        for index in indexes_of(group.stages):
            yield StageKept(
                stage_index=index,
                round=group.round,
                delivered_at_start=None,
                ended=group.status,
                reason=group.reason,
            )
