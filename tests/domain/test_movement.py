"""A job as it is at this moment: what its workflow says, merged with the attempts' rows and the clock."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from darkroom.domain.movement import Movement, Retried, faults_of, with_faults, with_movement
from darkroom.domain.progress import JobStatus, Progress, StageProgress
from darkroom.domain.rounds import StageStatus
from darkroom.domain.sentences import how_it_stands

NOW = datetime(2026, 11, 26, 10, 45, tzinfo=UTC)
SINCE = datetime(2026, 11, 26, 10, 42, tzinfo=UTC)
LIMIT = timedelta(seconds=120)


def progress(**changes: object) -> Progress:
    stages = [StageProgress(stage_index=index, label=f"stage {index}", quantity=5) for index in range(2)]
    values = {
        "job_id": UUID(int=1), "job_type": "pipeline_stage", "status": JobStatus.PROCESSING, "total_images": 10,
        "completed_images": 4, "stages": tuple(stages), "eta_seconds": 1.0,
    }  # fmt: skip
    return Progress.model_validate(values | changes)


def retried(ordinal: int, **changes: object) -> Retried:
    values = {
        "stage_index": 0, "ordinal": ordinal, "provider": "gemini", "attempt": 6, "reason": "HTTP 503", "faults": 6,
        "since": SINCE, "failed_at": NOW,
    }  # fmt: skip
    return Retried.model_validate(values | changes)


def movement(*calls: Retried, **changes: object) -> Movement:
    values = {"news_at": NOW - timedelta(seconds=30), "opened_at": SINCE, "delivered": 3, "retried": calls}
    return Movement.model_validate(values | changes)


def merged(progress: Progress, movement: Movement, now: datetime = NOW, queues: tuple[str, ...] = ()) -> Progress:
    return with_movement(progress, movement, now, LIMIT, queues)


def test_a_stage_tells_its_calls_in_back_off_their_newest_reason_and_since_when() -> None:
    older = retried(1, reason="HTTP 500", since=SINCE - timedelta(minutes=1), failed_at=SINCE)
    first, second = merged(progress(), movement(older, retried(2))).stages
    assert (first.retrying, first.fault, first.since) == (2, "HTTP 503", older.since)
    assert (second.retrying, second.fault, second.since) == (0, None, None)


@pytest.mark.parametrize(("round_", "status"), [(0, StageStatus.DELIVERING), (2, StageStatus.TOPPING_UP)])
def test_a_stage_whose_calls_are_all_in_back_off_does_not_wait(round_: int, status: StageStatus) -> None:
    stage = StageProgress(stage_index=0, label="stage 1", quantity=5, round=round_)
    assert merged(progress(stages=(stage,)), movement(retried(1))).stages[0].status is status


def test_what_a_workflow_is_told_it_shows_in_its_own_progress() -> None:
    seen = merged(progress(), movement(*map(retried, range(5))), NOW + LIMIT)
    own = progress(completed_images=5)
    shown = with_faults(own, faults_of(seen))
    assert [(stage.retrying, stage.fault, stage.since) for stage in shown.stages] == [
        (5, "HTTP 503", SINCE),
        (0, None, None),
    ]
    assert (shown.completed_images, shown.stalled, shown.failing, shown.eta_seconds) == (5, True, seen.failing, None)
    assert with_faults(shown, faults_of(merged(own, movement()))).stalled is False


def test_a_failing_provider_is_named_with_its_reason_its_time_and_its_pictures() -> None:
    now = merged(progress(), movement(*map(retried, range(5))))
    assert [(one.provider, one.reason, one.since, one.retrying) for one in now.failing] == [
        ("gemini", "HTTP 503", SINCE, 5)
    ]
    told = "Gemini is failing (HTTP 503) since 10:42 UTC; 5 pictures are being retried"
    assert how_it_stands(now) == told
    one = merged(progress(), movement(retried(0)))
    assert how_it_stands(one).endswith("1 picture is being retried")


def test_one_or_two_faults_are_no_failing_provider_and_old_ones_are_none() -> None:
    some = movement(retried(0, faults=1), retried(1, faults=1), *(retried(n, faults=0) for n in range(2, 5)))
    now = merged(progress(), some)
    assert (now.failing, now.stages[0].retrying) == ((), 5)
    assert how_it_stands(now) == "running"


def test_time_left_is_that_of_the_last_minute_by_the_clock_of_now() -> None:
    # 3 pictures in the last minute, 6 are missing.
    assert merged(progress(), movement()).eta_seconds == 120.0
    just_opened = movement(opened_at=NOW - timedelta(seconds=10))
    assert merged(progress(), just_opened).eta_seconds == 20.0


@pytest.mark.parametrize(
    ("what", "queues"),
    [
        (movement(*map(retried, range(5))), ()),
        (movement(delivered=0), ()),
        (movement(news_at=NOW - LIMIT), ()),
        (movement(*(retried(n, faults=0) for n in range(6))), ()),
        (movement(), ("darkroom-generate",)),
    ],
    ids=["provider fails", "nothing arrived", "stalled", "all that is missing is retried", "no worker"],
)
def test_no_time_left_is_told_while_nothing_moves(what: Movement, queues: tuple[str, ...]) -> None:
    assert merged(progress(), what, queues=queues).eta_seconds is None


def test_a_job_stalls_when_nothing_was_delivered_or_missed_for_a_while() -> None:
    last = movement().news_at
    assert not merged(progress(), movement(), last + LIMIT - timedelta(seconds=1)).stalled
    stalled = merged(progress(), movement(), last + LIMIT)
    assert stalled.stalled
    assert how_it_stands(stalled).startswith("stalled")
    assert merged(progress(status=JobStatus.PENDING, completed_images=0), movement(), last + LIMIT).stalled


@pytest.mark.parametrize(
    "held",
    [{"paused": True}, {"cancel_requested": True}, {"completed_images": 10}, {"status": JobStatus.COMPLETED}],
    ids=str,
)
def test_a_job_that_wants_nothing_does_not_stall_and_has_no_time_left(held: dict[str, object]) -> None:
    now = merged(progress(**held), movement(*map(retried, range(5))), NOW + LIMIT, ("darkroom",))
    assert (now.stalled, now.failing, now.without_worker, now.eta_seconds) == (False, (), (), None)


def test_a_job_that_moved_just_now_lacks_no_worker() -> None:
    lately = movement(news_at=NOW - timedelta(seconds=1))
    assert merged(progress(), lately, queues=("darkroom",)).without_worker == ()


def test_no_worker_is_said_first_and_a_missing_role_by_its_queue() -> None:
    calls = movement(*map(retried, range(5)))
    nobody = merged(progress(), calls, queues=("darkroom", "darkroom-generate", "darkroom-publish"))
    assert how_it_stands(nobody).startswith("no worker is running; start one with ")
    no_role = merged(progress(), calls, queues=("darkroom-generate",))
    assert how_it_stands(no_role).startswith("no worker serves the task queue darkroom-generate; ")
    pending = merged(progress(status=JobStatus.PENDING), calls, queues=("darkroom",))
    assert how_it_stands(pending).startswith("waiting to start: no worker serves the task queue darkroom;")
