"""Pause, resume, quota, cancel, failure, restart and lost answers in any order: what a job's control then says."""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from darkroom.domain.fallback import SHORTEST_QUOTA_PAUSE
from darkroom.domain.job_control import JobControl
from darkroom.domain.jobs import Control

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
PROVIDERS = ("gemini", "runware")
HOUR = timedelta(hours=1)


def opened(found: Control | None = None, providers: tuple[str, ...] = PROVIDERS) -> JobControl:
    control = JobControl()
    control.open(providers, found or Control(), None)
    return control


class Controls(RuleBasedStateMachine):
    """A job's control, its row and its relay, against a model of three flags."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.control = opened()
        self.row = Control()
        self.written: Control | None = None
        """What the relay has written, and not heard an answer of."""
        self.paused = self.cancelled = self.failed = self.superseded = False
        self.was_over = False
        self.last_version = 0

    @property
    def ending(self) -> bool:
        return self.cancelled or self.failed

    @rule()
    def pause(self) -> None:
        self.control.request_pause("lunch")
        self.paused = self.paused or not self.ending

    @rule()
    def resume(self) -> None:
        self.control.request_resume()
        if not self.ending:
            self.paused = False
            assert self.control.requested.quota_until is None

    @rule()
    def cancel(self) -> None:
        self.control.request_cancel("enough")
        self.cancelled = True

    @rule()
    def fail(self) -> None:
        self.control.fail("bad key")
        self.failed = True

    @rule()
    def supersede(self) -> None:
        self.control.supersede("another run has taken over")
        self.superseded = True

    @rule(provider=st.sampled_from(PROVIDERS), hours=st.integers(-2, 30))
    def spend_quota(self, provider: str, hours: int) -> None:
        before = self.control.requested
        other = self.control.spend_quota(provider, self.now + hours * HOUR, None, self.now)
        assert other != provider
        if other is None and not self.ending:
            until = self.control.requested.quota_until
            assert until is not None
            assert before.quota_until is not None or until >= self.now + SHORTEST_QUOTA_PAUSE
        else:
            assert self.control.requested == before

    @rule()
    @precondition(lambda self: self.control.requested.quota_until is not None)
    def quota_returns(self) -> None:
        until = self.control.requested.quota_until
        assert until is not None
        self.now = max(self.now, until)
        self.control.lift_quota_pause()
        if not self.ending:
            assert self.control.requested.quota_until is None
            assert self.control.requested.paused == self.paused, "only a resume lifts the user's pause"

    @rule()
    def relay_writes(self) -> None:
        """The activity runs; twice with the same control is the same as once."""
        self.written = self.control.requested
        self.row = max(self.row, self.written, key=lambda control: control.version)

    @rule()
    @precondition(lambda self: self.written is not None)
    def relay_hears(self) -> None:
        assert self.written is not None
        self.control.apply(self.written)
        self.written = None

    @rule()
    @precondition(lambda self: self.written is not None)
    def answer_is_lost(self) -> None:
        """The activity is run again, with the control of then: the relay waits for that."""
        self.relay_hears()

    @rule()
    def an_old_answer_comes_late(self) -> None:
        self.control.apply(Control(version=self.control.applied.version - 1))

    @rule()
    def another_run_takes_over(self) -> None:
        """As after a reset: it knows of the row alone, whatever the one before had applied."""
        self.control = opened(self.row)
        self.paused = self.row.paused
        self.cancelled = self.row.cancel_requested
        self.failed = self.superseded = self.was_over = False
        self.row, self.written, self.last_version = Control(), None, 0

    @rule()
    @precondition(lambda self: self.was_over)
    def restart(self) -> None:
        """Of an ended job: opening clears what the row said."""
        self.row = Control()
        self.another_run_takes_over()

    @invariant()
    def versions_only_grow(self) -> None:
        assert self.control.requested.version >= self.last_version
        assert self.control.applied.version <= self.control.requested.version
        self.last_version = self.control.requested.version

    @invariant()
    def the_model_agrees(self) -> None:
        requested = self.control.requested
        assert requested.paused == self.paused
        assert requested.cancel_requested == self.cancelled
        assert (self.control.failure is not None) == self.failed
        assert (self.control.superseded is not None) == self.superseded
        assert self.control.over == (self.ending or self.superseded)

    @invariant()
    def an_end_is_an_end(self) -> None:
        assert self.control.over or not self.was_over
        self.was_over = self.control.over

    @invariant()
    def nothing_begins_between_a_request_and_its_lifting(self) -> None:
        if self.control.requested.holds or self.control.applied.holds:
            assert self.control.on_hold
        if self.control.in_sync:
            assert self.control.applied == self.control.requested

    @invariant()
    def whoever_asks_why_is_told(self) -> None:
        if self.control.requested.on_hold and not self.ending:
            assert self.control.requested.reason
        if self.paused and not self.ending:
            assert self.control.requested.reason == "lunch", "the user's reason stands before a quota's"


TestControls = Controls.TestCase
TestControls.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_request_is_not_applied_before_the_row_says_it() -> None:
    control = opened()
    control.request_cancel("enough")
    assert (control.over, control.in_sync, control.applied.cancel_requested) == (True, False, False)
    control.apply(control.requested)
    assert (control.in_sync, control.applied.cancel_requested) == (True, True)


def test_a_pause_that_was_requested_before_the_run_was_open_is_written_on_the_row() -> None:
    control = JobControl()
    control.request_pause(None)
    control.apply(control.requested)  # as if it had been: the row was not there to say so
    control.open(PROVIDERS, Control(), None)
    assert not control.in_sync
    assert control.on_hold


def test_a_run_that_takes_over_adds_the_rows_pause_to_a_cancel_requested_meanwhile() -> None:
    control = JobControl()
    control.request_cancel("enough")
    control.open(PROVIDERS, Control(version=7, paused=True, reason="lunch"), None)
    assert (control.requested.paused, control.requested.cancel_requested) == (True, True)
    assert not control.in_sync


def test_a_run_that_can_only_fail_begins_nothing() -> None:
    control = JobControl()
    control.open(PROVIDERS, Control(), "insufficient credits")
    assert (control.over, control.failure) == (True, "insufficient credits")


def test_the_next_provider_takes_over_until_all_have_spent_their_quota() -> None:
    control = opened()
    assert control.spend_quota("gemini", NOON + 3 * HOUR, "quota of gemini", NOON) == "runware"
    assert not control.on_hold
    assert control.spend_quota("runware", NOON + HOUR, "quota of runware", NOON) is None
    assert control.requested.quota_until == NOON + HOUR, "it goes on when the first one is back"
    assert control.requested.reason == "quota of runware"


def test_stages_that_all_wait_for_one_provider_pause_the_job_until_it_is_back() -> None:
    control = opened()
    control.begin_stages([0, 1, 2])
    control.spend_quota("gemini", NOON + 3 * HOUR, "quota of gemini", NOON)
    control.wait_for_quota(0, "gemini")
    control.wait_for_quota(1, "gemini")
    assert not control.on_hold, "stage 2 has somebody to ask"
    control.end_stage(2)
    assert control.requested.quota_until == NOON + 3 * HOUR
    assert control.requested.reason == "quota of gemini"


def test_a_stage_that_found_somebody_else_keeps_the_job_going() -> None:
    control = opened()
    control.begin_stages([0, 1])
    control.spend_quota("gemini", NOON + HOUR, None, NOON)
    control.wait_for_quota(0, "gemini")
    control.stop_waiting(0)
    control.wait_for_quota(1, "gemini")
    assert not control.on_hold


def test_a_quota_that_claims_to_be_back_pauses_for_a_minute_all_the_same() -> None:
    control = opened(providers=("gemini",))
    assert control.spend_quota("gemini", NOON - HOUR, None, NOON) is None
    assert control.requested.quota_until == NOON + SHORTEST_QUOTA_PAUSE


def test_resume_forgets_spent_quotas() -> None:
    control = opened(providers=("gemini",))
    control.spend_quota("gemini", NOON + HOUR, None, NOON)
    control.request_resume()
    assert control.quotas.free(NOON) == ("gemini",)


def test_a_run_that_was_reset_asks_for_more_than_its_row_says_already() -> None:
    control = opened(Control(version=4))
    assert control.in_sync
    control.request_cancel(None)
    assert control.requested.version > 4
    assert not control.in_sync
