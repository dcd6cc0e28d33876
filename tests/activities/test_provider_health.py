"""A provider that fails is told in one line a minute, and in the metrics; so is that it answers again."""

from collections import Counter

from structlog.testing import capture_logs
from temporalio.runtime import BUFFERED_METRIC_KIND_COUNTER, MetricBuffer, Runtime, TelemetryConfig
from temporalio.testing import ActivityEnvironment

from activities.provider_health import FORGOTTEN_AFTER, SAY_AGAIN_AFTER, ProviderHealth
from darkroom.domain.images import Outcome


class Metrics:
    """What a worker's metrics show, by the SDK's own meter."""

    def __init__(self) -> None:
        self._buffer = MetricBuffer(1000)
        self.meter = Runtime(telemetry=TelemetryConfig(metrics=self._buffer)).metric_meter
        self._counted: Counter[str] = Counter()

    def read(self) -> dict[str, float]:
        """By name and attributes: the last value of a gauge, the sum of a counter."""
        found: dict[str, float] = {}
        for update in self._buffer.retrieve_updates():
            of_provider = {name: update.attributes[name] for name in ("provider", "class") if name in update.attributes}
            name = f"{update.metric.name} {' '.join(map(str, of_provider.values()))}"
            if update.metric.kind == BUFFERED_METRIC_KIND_COUNTER:
                self._counted[name] += int(update.value)
                found[name] = self._counted[name]
            else:
                found[name] = update.value
        return found


def fail(health: ProviderHealth, *calls: str, provider: str = "gemini") -> None:
    for call in calls:
        health.failed(provider, call, "HTTP 503")


def test_a_provider_that_fails_is_one_line_a_minute_until_it_is_back() -> None:
    now = 0.0
    health = ProviderHealth(clock=lambda: now)

    def work() -> None:
        nonlocal now
        fail(health, *(f"call-{n}" for n in range(100)))
        now = SAY_AGAIN_AFTER
        fail(health, "call-0", "call-1")
        health.answered("gemini", "call-2", Outcome.MISSED)
        health.answered("gemini", "call-3", Outcome.GENERATED)

    with capture_logs() as logged:
        ActivityEnvironment().run(work)
    failing = {"event": "provider failing", "log_level": "warning", "provider": "gemini", "reason": "HTTP 503"}
    assert logged == [
        {**failing, "calls": 3},
        {**failing, "calls": 98},
        {"event": "provider back", "log_level": "info", "provider": "gemini", "seconds": 60.0},
    ]


def test_a_fault_now_and_then_is_no_line_and_providers_are_told_apart() -> None:
    health = ProviderHealth()

    def work() -> None:
        for n in range(50):
            fail(health, f"a-{n}", f"b-{n}")
            fail(health, f"c-{n}", provider="runware")
            health.answered("gemini", f"a-{n}", Outcome.GENERATED)
            health.answered("runware", f"c-{n}", Outcome.GENERATED)

    with capture_logs() as logged:
        ActivityEnvironment().run(work)
    assert logged == []


def test_metrics_count_failures_by_class_and_show_what_is_in_back_off() -> None:
    now = 0.0
    metrics = Metrics()
    health = ProviderHealth(clock=lambda: now)
    in_back_off, up = "darkroom_calls_in_back_off gemini", "darkroom_provider_up gemini"
    failures = "darkroom_provider_failures gemini"

    def work() -> None:
        nonlocal now
        fail(health, "a", "b")
        assert metrics.read() == {in_back_off: 2, up: 1, f"{failures} transient": 2}
        fail(health, "b", "c")
        assert metrics.read() == {in_back_off: 3, up: 0, f"{failures} transient": 4}
        health.gave_up("gemini", "c", "HTTP 503")
        health.answered("gemini", "a", Outcome.REFUSED)
        assert metrics.read() == {in_back_off: 1, up: 1, f"{failures} transient": 5, f"{failures} refusal": 1}
        now = FORGOTTEN_AFTER
        health.answered("gemini", "d", Outcome.GENERATED)
        assert metrics.read() == {in_back_off: 0, up: 1}

    environment = ActivityEnvironment()
    environment.metric_meter = metrics.meter
    environment.run(work)
