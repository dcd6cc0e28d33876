"""Requests by number, runs that were reset or continue another, and what is kept of spent quotas."""

from datetime import timedelta

from darkroom.domain.job_control import JobControl
from darkroom.domain.jobs import Control
from tests.domain.test_job_control import HOUR, NOON, PROVIDERS, opened


def test_a_request_that_was_overtaken_changes_nothing_and_a_cancel_always_holds() -> None:
    control = opened()
    control.request_resume(2)
    control.request_pause("late", 1)
    before = control.requested
    control.request_pause("lunch", 4)
    control.request_cancel("enough", 3)
    after = control.requested
    assert (before.paused, before.request) == (False, 2)
    assert (after.paused, after.cancel_requested, after.request) == (True, True, 4)


def test_a_reason_of_any_length_is_cut_before_a_hundred_batches_are_told() -> None:
    for ask in (JobControl.request_pause, JobControl.request_cancel):
        control = opened()
        ask(control, "words " * 100_000)
        assert len(control.requested.reason or "") == 500
    control = opened()
    control.request_pause("x" * 500)
    assert control.requested.reason == "x" * 500


def test_what_was_heard_is_to_be_written_whatever_comes_of_it() -> None:
    control = opened()
    control.request_resume(1)
    written = control.requested
    assert (written.version, written.request) == (1, 1)
    control.apply(written)
    control.request_resume(1)
    assert control.requested == written


def test_a_run_that_was_reset_writes_above_the_version_of_its_row() -> None:
    control = opened()
    control.reassert()
    control.overtake(7)
    assert control.requested.version == 8
    assert not control.in_sync
    control.apply(control.requested)
    control.request_pause("lunch")
    version = control.requested.version
    control.reassert()  # what is held is held by this run itself
    assert control.requested.version == version


def test_a_run_continues_with_the_numbers_of_its_row() -> None:
    control = opened(Control(version=3, paused=True, request=5))
    control.request_resume(5)
    assert control.requested.paused
    control.request_resume(6)
    assert not control.requested.paused


def test_pauses_for_a_quota_that_is_never_back_grow_longer_until_a_picture_comes() -> None:
    control, now, none = opened(providers=("gemini",)), NOON, timedelta(0)
    pauses = []
    for _ in range(9):
        control.spend_quota("gemini", now, None, now, none)
        control.spend_quota("gemini", now, None, now, none)  # of another stage, in the same moment
        until = control.requested.quota_until
        assert until is not None
        pauses.append((until - now).total_seconds() / 60)
        now = until
        control.lift_quota_pause()
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    control.quotas.note_delivered("gemini")
    control.spend_quota("gemini", now, None, now, none)
    assert control.requested.quota_until == now + timedelta(minutes=1)


def test_a_long_pause_ends_some_minutes_after_the_hour_and_a_short_one_when_the_provider_says() -> None:
    for hours, later in ((6, timedelta(minutes=3)), (0.1, timedelta(0))):
        control = opened(providers=("gemini",))
        back = NOON + timedelta(hours=hours)
        control.spend_quota("gemini", back, None, NOON, timedelta(minutes=3))
        assert control.requested.quota_until == back + later


def test_what_is_kept_of_quotas_is_what_another_execution_goes_on_with() -> None:
    control = opened()
    for _ in range(2):
        control.spend_quota("gemini", NOON + HOUR, "spent", NOON - 2 * HOUR, timedelta(0))
    control.spend_quota("runware", NOON + 2 * HOUR, None, NOON, timedelta(0))
    another = JobControl()
    another.open(PROVIDERS, control.requested, None, control.quotas.keep())
    assert another.quotas.keep() == control.quotas.keep()
    assert another.quotas.free(NOON) == ()
    assert another.quotas.free(NOON + HOUR) == ("gemini",)
    assert another.quotas.reason("gemini") == "spent"
    assert another.requested.quota_until == control.requested.quota_until


def test_a_resume_that_comes_before_the_run_is_open_lifts_the_pause_that_it_finds() -> None:
    for continues, number, lifts in ((False, 6, True), (True, None, True), (False, None, False)):
        control = JobControl(continues=continues)
        control.request_resume(number)
        control.open(PROVIDERS, Control(version=3, paused=True, reason="lunch", request=5), None)
        assert control.requested.on_hold is not lifts
    control = JobControl(continues=True)
    control.request_resume(6)
    control.request_pause("tea", 7)
    control.open(PROVIDERS, Control(version=3, paused=True, reason="lunch", request=5), None)
    assert control.requested.paused
    assert control.requested.reason == "tea"
