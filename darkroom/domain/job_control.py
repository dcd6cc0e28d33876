"""Pause, quota, cancel, failure, superseded: what was requested of a job, what of it is applied, and what follows.

Pure: the job's workflow passes in what happens and carries out what this says. A request is *applied* when the job's
row says it, from when on no provider call starts against it. Whatever acts on a request waits for that (`in_sync`):
a salvage that began on the request alone ran under the old control, and lost a paid picture.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from darkroom.domain.continuing import QuotaKept
from darkroom.domain.fallback import SHORTEST_QUOTA_PAUSE, Quotas
from darkroom.domain.jobs import Control
from darkroom.domain.receipts import shorten

LONG_PAUSE = timedelta(minutes=10)
"""A pause above that ends at an hour that many jobs share, such as midnight."""


LONGEST_REASON = 500
"""Characters of a reason that a user gives. It is told to every batch, and the API takes no more."""


def _short(reason: str | None) -> str | None:
    return None if reason is None else shorten(reason, LONGEST_REASON)


class JobControl:
    """The one state machine of a run's controls. Its methods are the only way to change it."""

    def __init__(self, *, continues: bool = False) -> None:
        self._continues = continues
        """Whether the run was opened by another execution: then what is requested before this one knows it counts."""
        self._open = False
        self._resumed = False
        """Whether a pause that the row may hold was lifted before the row was read."""
        self._requested = Control()
        self._applied = Control()
        self._failure: str | None = None
        self._superseded: str | None = None
        self._quotas = Quotas(())
        self._undecided: set[int] = set()
        self._waiting: dict[int, str] = {}

    @property
    def requested(self) -> Control:
        """What signals, batches and the clock asked for, newest."""
        return self._requested

    @property
    def applied(self) -> Control:
        """What of it the job's row says, and the batches are told."""
        return self._applied

    @property
    def in_sync(self) -> bool:
        """Whether everything requested is applied."""
        return self._applied.version == self._requested.version

    @property
    def failure(self) -> str | None:
        """The permanent fault that ends the job."""
        return self._failure

    @property
    def superseded(self) -> str | None:
        """Why this run may do nothing more: the job has ended, or another run has it."""
        return self._superseded

    @property
    def quotas(self) -> Quotas:
        """Which of the job's providers have spent their daily quota."""
        return self._quotas

    @property
    def over(self) -> bool:
        """Whether no stage may begin another batch. Once so, always so."""
        return self._requested.ending or self._failure is not None or self._superseded is not None

    @property
    def on_hold(self) -> bool:
        """Whether a batch that is begun now would have to wait."""
        return self._requested.holds or self._applied.holds

    def open(
        self,
        providers: tuple[str, ...],
        found: Control,
        failure: str | None,
        quotas: Iterable[QuotaKept] = (),
    ) -> None:
        """The run is open; a pause or a cancel that the job's row holds already joins what was requested meanwhile.

        Args:
            providers: those of the order, in their order.
            found: what the row says; a run that takes over after a crash finds it there.
            failure: why the run can only fail.
            quotas: of the execution that this one continues.
        """
        # A run that was reset finds its row at a later version; the row refuses one that is not newer.
        self._applied = self._applied.model_copy(update={"version": found.version})
        self._requested = self._requested.model_copy(
            update={
                "version": self._requested.version + found.version,
                "request": max(self._requested.request, found.request),
            }
        )
        self._quotas = Quotas(providers)
        self._quotas.restore(quotas)
        self._failure = failure
        self._open = True
        if found.holds:
            on_hold = not self._resumed
            self._request(
                paused=self._requested.paused or (found.paused and on_hold),
                quota_until=found.quota_until if on_hold else None,
                reason=self._requested.reason or (found.reason if on_hold or found.cancel_requested else None),
                cancel_requested=self._requested.cancel_requested or found.cancel_requested,
            )
        elif self._requested.holds:
            # It was requested before the row was there to say so.
            self._request()

    def supersede(self, reason: str | None) -> None:
        """Another run has the job; the first reason stays."""
        self._superseded = self._superseded or reason

    def request_cancel(self, reason: str | None, number: int | None = None) -> None:
        """Begin nothing more; asked twice, the first reason stays.

        Args:
            reason: shown with the job.
            number: of the request, where a client numbered it. A cancel holds whatever was asked after it.
        """
        self._take(number)
        if not self._requested.cancel_requested:
            self._request(cancel_requested=True, reason=_short(reason))

    def request_pause(self, reason: str | None, number: int | None = None) -> None:
        """Begin nothing more until `request_resume`; nothing changes while paused by the user, or at the end.

        A request that was overtaken by one with a higher number changes nothing.
        """
        if self._take(number) and not self._requested.paused and not self._requested.ending:
            self._resumed = False
            self._request(paused=True, reason=_short(reason) or "paused by the user")

    def request_resume(self, number: int | None = None) -> None:
        """Lift a pause, whether the user or a spent quota caused it; nothing changes without one, or at the end."""
        if not self._take(number):
            return
        # Requests without a number are those of jobs that began before there were any, too.
        self._resumed = not self._open and (number is not None or self._continues)
        if self._requested.on_hold and not self._requested.ending:
            self._quotas.forget()
            self._request(paused=False, quota_until=None, reason=None)

    def fail(self, reason: str) -> None:
        """A permanent fault: begin nothing more; the first one is the job's."""
        if self._failure is None:
            self._failure = reason
            self._request(failing=True)

    def spend_quota(
        self, provider: str, until: datetime, reason: str | None, now: datetime, spread: timedelta | None = None
    ) -> str | None:
        """A provider's daily quota is spent; the job pauses when all have spent theirs.

        Args:
            provider: whose quota.
            until: when it returns, as the provider says.
            reason: in its words.
            now: the time.
            spread: how much longer a long pause is, so that not all jobs call at midnight; None for the rules of jobs
                that began before there was one: they ask again after a minute, however often.

        Returns:
            The provider that takes over; None when the job pauses.
        """
        if spread is None:
            until = max(until, now + SHORTEST_QUOTA_PAUSE)
        else:
            until = max(
                until + spread if until - now > LONG_PAUSE else until, now + self._quotas.shortest_pause(provider, now)
            )
        self._quotas.spend(provider, until, reason)
        others = self._quotas.free(now)
        if others:
            return others[0]
        self._pause_until(self._quotas.first_back, self._quotas.reason(provider))
        return None

    def lift_quota_pause(self) -> None:
        """The quota that was to return first is back; a user's pause stays.

        Was it spent anew meanwhile, the stages find nobody to ask, and the job pauses again.
        """
        if self._requested.quota_until is not None and not self._requested.ending:
            self._request(quota_until=None, reason=self._requested.reason if self._requested.paused else None)

    def apply(self, control: Control) -> None:
        """The job's row says this now; an older control than the one applied changes nothing."""
        if control.version > self._applied.version:
            self._applied = control

    def overtake(self, version: int) -> None:
        """The job's row is at a later version than what was to be written: this run was reset, and its word holds."""
        self._requested = self._requested.model_copy(update={"version": version + 1})

    def reassert(self) -> None:
        """The job's row holds calls that nothing here holds: write it anew."""
        if not self.on_hold and not self.over:
            self._request()

    def begin_stages(self, stages: Iterable[int]) -> None:
        """These are still to be delivered."""
        self._undecided = set(stages)

    def wait_for_quota(self, stage_index: int, provider: str) -> None:
        """A stage that all others refused has nobody else to ask; when this holds for all, the job pauses."""
        self._waiting[stage_index] = provider
        self._pause_when_all_wait()

    def stop_waiting(self, stage_index: int) -> None:
        """The stage has somebody to ask, or asks no more."""
        self._waiting.pop(stage_index, None)

    def end_stage(self, stage_index: int) -> None:
        """Nothing more is made of the stage; those that are left may all be waiting."""
        self._undecided.discard(stage_index)
        self._pause_when_all_wait()

    def _pause_when_all_wait(self) -> None:
        if self._undecided and self._undecided <= self._waiting.keys():
            back = {name: at for name in self._waiting.values() if (at := self._quotas.back_at(name)) is not None}
            if back:
                first = min(back, key=lambda name: back[name])
                self._pause_until(back[first], self._quotas.reason(first))

    def _pause_until(self, until: datetime | None, reason: str) -> None:
        if self._requested.quota_until is None and not self._requested.ending:
            users = self._requested.reason if self._requested.paused else None
            self._request(quota_until=until, reason=users or reason)

    def _take(self, number: int | None) -> bool:
        """Whether a request is the newest so far; the row is to say that it was heard, whatever comes of it."""
        if number is None:
            return True
        if number <= self._requested.request:
            return False
        self._request(request=number)
        return True

    def _request(self, **changes: object) -> None:
        self._requested = self._requested.model_copy(update={**changes, "version": self._requested.version + 1})
