"""What Gemini's errors mean: faults that pass, spent quotas, and what somebody has to mend."""

from datetime import UTC, datetime, timedelta

import pytest
from google.genai.errors import APIError

from darkroom.domain.errors import ProviderUnavailable, SettingRejected
from darkroom.domain.images import (
    Generated,
    ProviderAnswer,
    QuotaSpent,
    Refused,
    Stopped,
)
from darkroom.providers.gemini_answers import Asked, next_pacific_midnight, read_error
from tests.support.fakes.gemini import FakeGemini, error, inside_200
from tests.support.fakes.over_http import GEMINI, REQUEST

MODEL = GEMINI.model


class TestFault:
    @pytest.mark.parametrize("name", ["500", "503", "408"])
    async def test_a_server_error_is_told_by_its_status(self, name: str) -> None:
        assert f"HTTP {name}" in str(await GEMINI.fault(name))

    async def test_a_call_after_the_close_is_a_passing_fault(self) -> None:
        async with FakeGemini() as server, GEMINI.at(server) as made:
            await made.close()
            with pytest.raises(ProviderUnavailable):
                await made.generate(REQUEST)

    async def test_a_wait_that_a_server_error_names_is_kept(self) -> None:
        assert (await GEMINI.fault("503-retry")).retry_after == timedelta(seconds=7)

    @pytest.mark.parametrize("name", ["503-header", "503-page-header", "503-inside-200-header"])
    async def test_a_wait_that_a_server_error_s_header_names_is_kept(self, name: str) -> None:
        assert (await GEMINI.fault(name)).retry_after == timedelta(seconds=7)

    async def test_the_longer_of_two_named_waits_is_kept(self) -> None:
        assert (await GEMINI.fault("503-header-longer")).retry_after == timedelta(seconds=40)

    @pytest.mark.parametrize("name", ["invalid-json", "page-200"])
    async def test_a_garbled_answer_is_a_passing_fault_that_quotes_nothing_of_it(self, name: str) -> None:
        problem = await GEMINI.fault(name)
        assert "could not be read" in str(problem)
        assert problem.__cause__ is None, "a cause would carry the answer into workflow history"
        assert len(str(problem)) < 100

    @pytest.mark.parametrize(
        "body",
        [
            *({}, [], [1, 2], "text", None, {"error": None}, {"error": "text"}, {"message": "<html>"}),
            {"error": {"message": 5, "status": 7, "details": {"reason": "none"}}},
            {"error": {"details": [None, {"violations": [None, {"quotaId": None}]}, {"retryDelay": "-3s"}]}},
            [{"error": {"message": "long " * 5000, "details": [{"retryDelay": "9" * 400 + "s"}]}}],
        ],
    )
    @pytest.mark.parametrize("status", [204, 301, 400, 404, 429, 500])
    def test_an_error_body_of_any_shape_is_read_and_kept_short(self, status: int, body: object) -> None:
        answer: ProviderAnswer | ProviderUnavailable
        try:
            answer = read_error(APIError(status, body), Asked(model=MODEL, now=datetime.now(UTC), jitter=1.0))
        except ProviderUnavailable as problem:
            answer = problem
        assert not isinstance(answer, Generated)
        assert (getattr(answer, "retry_after", None) or timedelta()) <= timedelta(days=1.5)
        assert len(answer.reason) < 600


class TestErrorInsideASuccess:
    """HTTP 200 with a body that is an error: the body says what it is."""

    @pytest.mark.parametrize(
        "name",
        [
            *("400", "401", "403", "404", "408", "413", "429-limit-0", "429-per-day", "api-key-invalid"),
            *("500", "503", "504", "failed-precondition", "503-retry"),
        ],
    )
    async def test_it_is_classed_as_it_is_under_its_own_status(self, name: str) -> None:
        assert await _outcome(f"inside-200:{name}") == await _outcome(name)

    async def test_a_rate_limit_waits_as_one(self) -> None:
        problem = await GEMINI.fault("inside-200:429-retry")
        assert problem.retry_after is not None
        assert 23.4 <= problem.retry_after.total_seconds() <= 35.2

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            *(("coded:503", ProviderUnavailable), ("coded:429", ProviderUnavailable), ("coded:401", Stopped)),
            *(("coded:400", Refused), ("coded:14", ProviderUnavailable), ("coded:0", ProviderUnavailable)),
            *(("named:UNAVAILABLE", ProviderUnavailable), ("named:INTERNAL", ProviderUnavailable)),
            *(("named:RESOURCE_EXHAUSTED", ProviderUnavailable), ("named:UNAUTHENTICATED", Stopped)),
            *(("named:PERMISSION_DENIED", Stopped), ("named:FAILED_PRECONDITION", Stopped)),
            *(("named:INVALID_ARGUMENT", Refused), ("named:NOVEL", ProviderUnavailable)),
        ],
    )
    async def test_its_code_or_its_status_decides(self, name: str, kind: type) -> None:
        assert (await _outcome(name))[0] is kind

    async def test_a_check_does_not_take_it_for_a_description_of_the_model(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refusal = inside_200(error(503, "UNAVAILABLE", "Overloaded."))
        monkeypatch.setattr(FakeGemini, "_describe", lambda *_: refusal)
        async with FakeGemini() as server, GEMINI.at(server) as made:
            with pytest.raises(ProviderUnavailable, match=MODEL):
                await made.check()


async def _outcome(name: str) -> tuple[type, str]:
    """The class of what a call brings, and its words."""
    try:
        answer: ProviderAnswer | ProviderUnavailable = await GEMINI.asked(name)
    except ProviderUnavailable as problem:
        answer = problem
    return type(answer), str(answer)


class TestRateLimit:
    @pytest.mark.parametrize(
        ("name", "seconds"),
        [
            *(("429", 15.0), ("429-retry", 23.4), ("429-retry-soon", 15.0), ("429-header", 40.0)),
            *(("429-header-shorter", 40.0), ("429-header-soon", 15.0), ("429-header-inside-200", 40.0)),
        ],
    )
    async def test_the_wait_is_what_google_asks_but_at_least_fifteen_seconds_and_spread(
        self, name: str, seconds: float
    ) -> None:
        async with FakeGemini(then=name) as server, GEMINI.at(server) as made:
            waits = set()
            for _ in range(5):
                with pytest.raises(ProviderUnavailable, match="rate limit") as caught:
                    await made.generate(REQUEST)
                waits.add(caught.value.retry_after)
        assert all(wait and 1 <= wait.total_seconds() / seconds <= 1.5 for wait in waits), waits
        assert len(waits) > 1, "calls that were refused together come back together"

    async def test_a_spent_daily_quota_is_back_at_the_next_midnight_in_california(self) -> None:
        before = next_pacific_midnight(datetime.now(UTC))
        answer = await GEMINI.asked("429-per-day")
        assert isinstance(answer, QuotaSpent)
        assert answer.until in (before, next_pacific_midnight(datetime.now(UTC)))
        assert answer.until.tzinfo is not None

    @pytest.mark.parametrize(
        ("now", "back"),
        [
            ("2026-01-15T07:59:59+00:00", "2026-01-15T08:00:00+00:00"),
            ("2026-01-15T08:00:00+00:00", "2026-01-16T08:00:00+00:00"),
            ("2026-07-01T12:00:00+00:00", "2026-07-02T07:00:00+00:00"),
            ("2026-03-08T12:00:00+00:00", "2026-03-09T07:00:00+00:00"),
            ("2026-11-01T12:00:00+00:00", "2026-11-02T08:00:00+00:00"),
        ],
    )
    def test_midnight_in_california_follows_daylight_saving(self, now: str, back: str) -> None:
        assert next_pacific_midnight(datetime.fromisoformat(now)) == datetime.fromisoformat(back)

    @pytest.mark.parametrize(
        "name", ["429-free-tier-minute", "429-free-tier-minute-value", "429-free-tier-minute-message"]
    )
    async def test_a_limit_a_minute_above_0_is_waited_for_on_the_free_tier_too(self, name: str) -> None:
        assert "rate limit" in str(await GEMINI.fault(name))

    async def test_a_limit_a_day_above_0_is_a_spent_quota_on_the_free_tier_too(self) -> None:
        assert isinstance(await GEMINI.asked("429-free-tier-day"), QuotaSpent)

    @pytest.mark.parametrize("name", ["429-limit-0", "429-free-tier", "429-free-tier-0"])
    async def test_a_limit_of_nothing_stops_with_the_advice_to_enable_billing(self, name: str) -> None:
        answer = await GEMINI.asked(name)
        assert isinstance(answer, Stopped)
        assert "billing" in answer.reason
        assert "GEMINI_API_KEY" in answer.reason


class TestPermanentFault:
    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("api-key-invalid", "GEMINI_API_KEY"),
            ("401", "GEMINI_API_KEY"),
            ("403", "GEMINI_API_KEY"),
            ("404", "GEMINI_MODEL"),
            ("404-page", "GEMINI_BASE_URL"),
            ("301", "GEMINI_BASE_URL"),
            ("failed-precondition", "billing"),
            ("finish:PUP_LIMITED_DISABLED", "GEMINI_API_KEY"),
        ],
    )
    async def test_what_somebody_has_to_mend_stops_and_names_the_setting(self, name: str, remedy: str) -> None:
        answer = await GEMINI.asked(name)
        assert isinstance(answer, Stopped)
        assert remedy in answer.reason

    def test_a_model_that_is_a_path_is_rejected_at_the_start(self) -> None:
        with pytest.raises(SettingRejected, match="GEMINI_MODEL"):
            GEMINI.made(model="a/../b")
