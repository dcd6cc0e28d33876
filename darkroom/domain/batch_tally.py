"""What one batch has to tell: kept while it runs, reported as news, concluded as its result."""

from datetime import datetime
from typing import Any

from darkroom.domain.batches import BatchInput, BatchReport, BatchResult
from darkroom.domain.rounds import refusals_stop_stage


class BatchTally:
    """The counts of a batch since it began, and since they were last reported."""

    def __init__(self, batch: BatchInput) -> None:
        self._batch = batch
        self._pairs: list[tuple[int, int]] = []
        self._news = BatchReport(stage_index=batch.stage_index)
        self._result = BatchResult(report=self._news)
        self._delivered = 0
        self._halted = False
        self.urgent = False
        """Whether the news must not wait: a spent quota, a permanent fault."""

    @property
    def over(self) -> bool:
        """Whether something that happened ends this batch."""
        result = self._result
        return bool(self._halted or result.refused or result.superseded or result.cancelled or result.held)

    @property
    def ends_the_stage(self) -> bool:
        """Whether the stage asks for no more images: refused, or cancelled by itself."""
        return self._result.refused is not None or self._result.cancelled

    @property
    def worth_a_report(self) -> bool:
        """Whether the parent should hear now."""
        return self.urgent or self._news.delivered >= self._batch.report_step

    @property
    def delivered_of_stage(self) -> int:
        """Images of the stage that are delivered, this batch's included."""
        return self._batch.delivered_before + self._delivered

    def note_delivered(self, ordinal: int, attach_id: int | None) -> None:
        """An image is settled."""
        self._delivered += 1
        self._decide()
        if self._batch.with_ids and attach_id is not None:
            self._pairs.append((ordinal, attach_id))
        self._tell(delivered=self._news.delivered + 1)

    def note_missed(self, reason: str | None, *, gave_up: bool = False, lost: bool = False) -> None:
        """An ordinal has no image, and a top-up makes up for it; with a provider that is down, another may."""
        self._decide(provider_down=self._result.provider_down or gave_up, lost=self._result.lost + lost)
        self._halted = self._halted or (gave_up and self._batch.has_fallback)
        self._tell(missed=self._news.missed + 1, reason=reason or self._news.reason)

    def note_refused(self, reason: str | None, *, final: bool) -> None:
        """An ordinal was refused; a final refusal, or the third without a delivery, ends the stage."""
        self._decide(refusals=self._result.refusals + 1)
        self._tell(refused=self._news.refused + 1, reason=reason or self._news.reason)
        refusals = self._batch.refusals_in_run + self._result.refusals
        if final or refusals_stop_stage(refusals, self._batch.delivered_in_run + self._delivered):
            self._update(refused=reason or "refused by policy", refused_final=self._result.refused_final or final)

    def note_unneeded(self) -> None:
        """An image came for a stage that has its quantity."""
        self._decide()

    def note_spent_quota(self, until: datetime | None, reason: str | None) -> None:
        """The provider's quota is spent: the parent pauses the job."""
        self._update(quota_spent=True)
        self._halt(quota_until=until, quota_reason=reason, provider=self._batch.provider)

    def note_stopped(self, reason: str | None) -> None:
        """A permanent fault: the parent stops the job."""
        self._halt(stopped=reason or "stopped")

    def supersede(self, reason: str | None) -> None:
        """The run may do nothing more."""
        self._update(superseded=reason or "another run has taken over")

    def note_held(self) -> None:
        """The job's row holds the calls, and nobody told this batch of a pause."""
        self._update(held=True)

    def note_salvaged(self) -> None:
        """What waited in staging after a cancel is delivered."""
        self._update(salvaged=True)

    def cancel(self) -> None:
        """The batch was cancelled through Temporal."""
        self._update(cancelled=True)

    def take_news(self, in_flight: int) -> BatchReport:
        """What was not reported yet; it is reported now."""
        news = self._news.model_copy(update={"pairs": tuple(self._pairs), "in_flight": in_flight})
        self._pairs = []
        self._news = BatchReport(stage_index=self._batch.stage_index)
        self.urgent = False
        return news

    def conclude(self) -> BatchResult:
        """The result, with the last news."""
        return self._result.model_copy(update={"report": self.take_news(in_flight=0)})

    def _decide(self, **changes: Any) -> None:
        self._update(decided=self._result.decided + 1, **changes)

    def _halt(self, **news: Any) -> None:
        self._halted = self.urgent = True
        self._tell(**news)

    def _tell(self, **news: Any) -> None:
        self._news = self._news.model_copy(update=news)

    def _update(self, **changes: Any) -> None:
        self._result = self._result.model_copy(update=changes)
