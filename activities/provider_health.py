"""Whether providers answer, as this process sees it: log lines and metrics for those who operate it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

import structlog
from temporalio import activity
from temporalio.common import MetricMeter

from darkroom.domain.images import Outcome
from darkroom.domain.movement import FAULTS_OF_A_FAILING_PROVIDER

log = structlog.get_logger(__name__)

SAY_AGAIN_AFTER = 60.0
"""Seconds: a provider that is down fails every call of every job, and one line is enough."""

FORGOTTEN_AFTER = 300.0
"""Seconds without another attempt: above every back-off of ours. A pause or a cancel drops calls without a word."""

_CLASSES = {
    Outcome.FAULT: "transient",
    Outcome.MISSED: "miss",
    Outcome.REFUSED: "refusal",
    Outcome.QUOTA_SPENT: "quota",
    Outcome.STOPPED: "permanent",
}


@dataclass
class _Provider:
    faults: int = 0
    """In a row, without any other answer in between."""
    unsaid: int = 0
    failing_since: float | None = None
    said_at: float = 0.0
    in_back_off: dict[str, float] = field(default_factory=dict)
    """By call: when it failed last."""


class ProviderHealth:
    """Notes how every call ended; says when a provider fails and when it answers again.

    Args:
        clock: seconds, from anywhere.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._providers: dict[str, _Provider] = {}

    def failed(self, provider: str, call: str, reason: str) -> None:
        """A call failed, and Temporal tries it again."""
        known, now = self._known(provider), self._clock()
        known.faults += 1
        known.unsaid += 1
        known.in_back_off[call] = now
        self._count(provider, Outcome.FAULT)
        if known.faults < FAULTS_OF_A_FAILING_PROVIDER:
            self._show(provider, known)
            return
        if known.failing_since is None or now - known.said_at >= SAY_AGAIN_AFTER:
            log.warning("provider failing", provider=provider, reason=reason, calls=known.unsaid)
            known.said_at, known.unsaid = now, 0
        known.failing_since = now if known.failing_since is None else known.failing_since
        self._show(provider, known)

    def answered(self, provider: str, call: str, outcome: Outcome) -> None:
        """A call got an answer, with or without a picture."""
        known = self._known(provider)
        known.in_back_off.pop(call, None)
        if outcome in _CLASSES:
            self._count(provider, outcome)
        if known.failing_since is not None:
            log.info("provider back", provider=provider, seconds=round(self._clock() - known.failing_since, 1))
        known.faults, known.unsaid, known.failing_since = 0, 0, None
        self._show(provider, known)

    def gave_up(self, provider: str, call: str, reason: str) -> None:
        """The last attempt of a call failed as well."""
        self.failed(provider, call, reason)
        known = self._known(provider)
        known.in_back_off.pop(call, None)
        self._show(provider, known)

    def _known(self, provider: str) -> _Provider:
        return self._providers.setdefault(provider, _Provider())

    def _count(self, provider: str, outcome: Outcome) -> None:
        counter = _meter(provider).create_counter(
            "darkroom_provider_failures", "provider calls that ended without a picture, by class"
        )
        counter.add(1, {"class": _CLASSES[outcome]})

    def _show(self, provider: str, known: _Provider) -> None:
        oldest = self._clock() - FORGOTTEN_AFTER
        known.in_back_off = {call: at for call, at in known.in_back_off.items() if at > oldest}
        meter = _meter(provider)
        meter.create_gauge("darkroom_calls_in_back_off", "calls of this worker that failed and are retried").set(
            len(known.in_back_off)
        )
        meter.create_gauge("darkroom_provider_up", "1 while the provider answers this worker, 0 while it fails").set(
            0 if known.failing_since is not None else 1
        )


def _meter(provider: str) -> MetricMeter:
    return activity.metric_meter().with_additional_attributes({"provider": provider})
