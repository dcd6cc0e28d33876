"""What a job's workflow knows of one stage while it is being delivered."""

from collections.abc import Sequence

from darkroom.domain.batches import BatchReport, BatchResult
from darkroom.domain.continuing import Reasons, StageKept
from darkroom.domain.fallback import Turns
from darkroom.domain.progress import StageProgress
from darkroom.domain.receipts import StageEnd, shorten
from darkroom.domain.rounds import StageCounts, StagePlan, StageStatus, refusals_stop_stage

CEILING = "its share of max_credits is used up"
REFUSED_FOR_GOOD = "; refused for good, change the prompt or references"
"""Ends the reason of a stage that no restart can deliver."""


class StageState:
    """Counts of one stage: what the records said last, and what was reported since."""

    def __init__(self, plan: StagePlan, providers: tuple[str, ...], *, with_ids: bool, fresh: bool = False) -> None:
        self.plan = plan
        self.round = 0
        self.in_flight = 0
        self.turns = Turns(providers)
        self.status = StageStatus.WAITING
        self.reason: str | None = None
        self.stopped = False
        """Whether this stage makes no more rounds."""
        self.cancelled = False
        """Whether this stage alone was cancelled, by cancelling its batch through Temporal."""
        self.left: int | None = None
        """What the round in progress still has to make; None between two rounds."""
        self.batch = 0
        """The number of the round's next batch."""
        self.next_ordinal = 0 if fresh else None
        """The lowest that was never made, while no other below it is left to make; None when only the records know."""
        self._with_ids = with_ids
        self._counts = plan.counts
        self._delivered_at_start = plan.counts.delivered
        self._ids: dict[int, int] = {}
        self._shown: tuple[object, StageProgress] | None = None
        """As clients read it, and what that was made of."""

    @property
    def delivered(self) -> int:
        """Images delivered, as far as this workflow was told."""
        return self._counts.delivered

    @property
    def decided(self) -> int:
        """Ordinals that were delivered, missed or refused."""
        return self._counts.delivered + self._counts.missed + self._counts.refused

    @property
    def missing(self) -> int:
        """Images this stage still has to make."""
        return max(0, self.plan.target - self.delivered)

    @property
    def delivered_in_run(self) -> int:
        """Images delivered by this run."""
        return max(0, self.delivered - self._delivered_at_start)

    @property
    def lacks_ids(self) -> bool:
        """Whether images are delivered whose ids were never told (a restart, a child that died)."""
        return self._with_ids and len(self._ids) < self._counts.delivered

    @property
    def ended(self) -> bool:
        """Whether nothing more is made of it."""
        return self.status in (StageStatus.COMPLETE, StageStatus.SHORT, StageStatus.CANCELLED)

    def begin_round(self, round_: int) -> None:
        """A new pass over what is missing."""
        self.turns.begin_round()
        self.round, self.left, self.batch = round_, self.missing, 0
        self.status = StageStatus.TOPPING_UP if round_ else StageStatus.DELIVERING

    def keep(self, reasons: Reasons) -> StageKept | None:
        """What another execution of the job has to know; None when the records say it all."""
        if self.status is StageStatus.COMPLETE or (self.status is StageStatus.WAITING and not self.stopped):
            return None
        return StageKept(
            stage_index=self.plan.stage_index,
            round=self.round,
            left=self.left,
            batch=self.batch,
            delivered_at_start=self._delivered_at_start,
            stopped=self.stopped,
            cancelled=self.cancelled,
            ended=self.status if self.ended else None,
            reason=reasons.number(self.reason),
            turns=self.turns.keep(),
        )

    def restore(self, kept: StageKept | None, reasons: Reasons) -> None:
        """Go on where another execution left off."""
        if kept is None:
            if self.delivered >= self.plan.quantity:
                self.status = StageStatus.COMPLETE
            return
        self.round, self.left, self.batch = kept.round, kept.left, kept.batch
        if kept.delivered_at_start is not None:
            self._delivered_at_start = kept.delivered_at_start
        self.stopped, self.cancelled = kept.stopped, kept.cancelled
        self.status = kept.ended or (StageStatus.TOPPING_UP if kept.round else StageStatus.DELIVERING)
        self.reason = reasons.of(kept.reason)
        self.turns.restore(kept.turns)

    def merge(self, report: BatchReport) -> None:
        """Take in what a child reports."""
        known = len(self._ids)
        self.learn(report.pairs)
        news = len(self._ids) - known if self._with_ids else report.delivered
        self._counts = StageCounts(
            delivered=self._counts.delivered + news,
            missed=self._counts.missed + report.missed,
            refused=self._counts.refused + report.refused,
        )
        self.in_flight = report.in_flight
        if report.reason:
            self.reason = shorten(report.reason)

    def learn(self, pairs: tuple[tuple[int, int], ...]) -> None:
        """Take in ids of delivered images."""
        if self._with_ids:
            self._ids.update(pairs)

    def note_batch(self, ordinals: Sequence[int], result: BatchResult | None, decided_before: int) -> bool:
        """Whether all that became of a batch was told, each image by its own; else the records have to be read.

        `result` is None where the batch was lost and told nothing.
        """
        number = len(ordinals)
        told_decided = 0 if result is None or result.lost else result.decided
        told = 0 < number == told_decided == self.decided - decided_before
        self.next_ordinal = ordinals[-1] + 1 if told and self.next_ordinal is not None else None
        return told and not self.lacks_ids

    def correct(self, counts: StageCounts) -> None:
        """Replace what was reported by what the records say; no child is running."""
        self._counts = counts
        self.in_flight = 0

    def note_refusals(self, provider: str, refusals: int, refused: str | None, *, final: bool) -> None:
        """Count a batch's refusals.

        A final one stops the stage. Three others without a delivery stop it too, unless another provider is
        left that may be asked.
        """
        self.turns.note_refusals(provider, refusals)
        if refused is not None:
            self.reason = shorten(refused)
        if final:
            self.stopped = True
            self.reason = shorten(f"{refused or 'refused by policy'}{REFUSED_FOR_GOOD}")
        elif refused is not None or refusals_stop_stage(self.turns.refusals(provider), self.delivered_in_run):
            self.stopped = not self.turns.give_up(provider)

    def end(self, *, cancelled: bool, failure: str | None) -> None:
        """The stage makes no more rounds; says why it is short, if it is."""
        self.in_flight = 0
        if self.ended:
            return
        if self.delivered >= self.plan.quantity:
            self.status, self.reason = StageStatus.COMPLETE, None
        elif cancelled:
            self.status, self.reason = StageStatus.CANCELLED, "cancelled"
        else:
            self.status = StageStatus.SHORT
            if failure is not None:
                self.reason = shorten(failure)
            elif self.missing == 0:
                self.reason = CEILING
            else:
                self.reason = self.reason or "not delivered in any round"

    def ending(self, most_bytes: int | None = None) -> StageEnd:
        """How the stage ended, for the records; its reason has so much room in a history."""
        reason = None if self.reason is None else shorten(self.reason, most_bytes=most_bytes)
        return StageEnd(stage_index=self.plan.stage_index, status=self.status, reason=reason)

    def progress(self) -> StageProgress:
        """This stage as clients read it; the same one until it changes, as a job may have a thousand of them."""
        made_of = (self._counts, self.in_flight, self.round, self.status, self.reason, len(self._ids))
        if self._shown is None or self._shown[0] != made_of:
            self._shown = made_of, self._progress()
        return self._shown[1]

    def _progress(self) -> StageProgress:
        return StageProgress(
            stage_index=self.plan.stage_index,
            label=self.plan.label,
            quantity=self.plan.quantity,
            completed=self.delivered,
            in_flight=self.in_flight,
            round=self.round,
            status=self.status,
            reason=self.reason,
            missed=self._counts.missed,
            refused=self._counts.refused,
            attach_ids=tuple(self._ids[ordinal] for ordinal in sorted(self._ids)) if self._with_ids else None,
        )
