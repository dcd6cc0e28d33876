"""What a job's workflow knows of a stage: reports merge as a set, and the end says why it is short."""

import itertools
import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.batches import BatchReport
from darkroom.domain.receipts import LONGEST_REASON
from darkroom.domain.rounds import StageCounts, StagePlan, StageStatus
from darkroom.domain.stage_state import REFUSED_FOR_GOOD, StageState


def stage_state(
    quantity: int = 5, *, target: int | None = None, delivered: int = 0, with_ids: bool = True
) -> StageState:
    return StageState(
        StagePlan(
            stage_index=0,
            label="stage 1",
            quantity=quantity,
            target=quantity if target is None else target,
            counts=StageCounts(delivered=delivered),
        ),
        ("offline",),
        with_ids=with_ids,
    )


def report(*pairs: tuple[int, int], missed: int = 0, refused: int = 0, reason: str | None = None) -> BatchReport:
    return BatchReport(
        stage_index=0, delivered=len(pairs), pairs=pairs, missed=missed, refused=refused, reason=reason, in_flight=1
    )


images = st.lists(st.integers(0, 30), unique=True, min_size=1)


@given(ordinals=images, cuts=st.lists(st.integers(0, 30), max_size=5), order=st.randoms(use_true_random=False))
def test_reports_merge_to_the_same_whatever_their_order_and_however_often(
    ordinals: list[int], cuts: list[int], order: random.Random
) -> None:
    pairs = [(ordinal, 100 + ordinal) for ordinal in ordinals]
    edges = [0, *sorted(cuts), len(pairs)]
    reports = [report(*pairs[first:last]) for first, last in itertools.pairwise(edges)]
    reports += reports
    order.shuffle(reports)
    stage = stage_state(40)
    for one in reports:
        stage.merge(one)
    assert stage.delivered == len(pairs)
    assert stage.progress().attach_ids == tuple(100 + ordinal for ordinal in sorted(ordinals))
    assert stage.missing == 40 - len(pairs)
    assert not stage.lacks_ids


CHANGES: list[Callable[[StageState], None]] = [
    lambda stage: stage.begin_round(stage.round + 1),
    lambda stage: stage.merge(report((stage.delivered, 100), missed=1)),
    lambda stage: stage.merge(report(refused=1, reason="blocked")),
    lambda stage: stage.learn(((7, 107),)),
    lambda stage: stage.correct(StageCounts(delivered=2)),
    lambda stage: stage.note_refusals("offline", 1, "blocked", final=False),
    lambda stage: stage.end(cancelled=True, failure=None),
    lambda stage: stage.end(cancelled=False, failure="the key is wrong"),
]


@given(changes=st.lists(st.sampled_from(CHANGES), max_size=12), with_ids=st.booleans())
def test_what_is_shown_is_made_anew_after_each_change_and_only_then(
    changes: list[Callable[[StageState], None]], with_ids: bool
) -> None:
    stage = stage_state(9, with_ids=with_ids)
    for change in changes:
        change(stage)
        shown = stage.progress()
        assert shown == stage._progress()
        assert stage.progress() is shown


def test_without_ids_the_counts_are_added() -> None:
    stage = stage_state(10, with_ids=False)
    stage.merge(BatchReport(stage_index=0, delivered=3))
    stage.merge(BatchReport(stage_index=0, delivered=2, missed=1, refused=1))
    assert (stage.delivered, stage.missing) == (5, 5)
    shown = stage.progress()
    assert (shown.completed, shown.missed, shown.refused, shown.attach_ids) == (5, 1, 1, None)
    assert not stage.lacks_ids


def test_a_restarted_stage_knows_that_it_lacks_ids_until_it_learns_them() -> None:
    stage = stage_state(5, delivered=2)
    knew = stage.lacks_ids
    stage.learn(((0, 7), (3, 8)))
    assert (knew, stage.lacks_ids) == (True, False)
    assert (stage.delivered, stage.delivered_in_run) == (2, 0)
    stage.merge(report((1, 9)))
    assert (stage.delivered, stage.delivered_in_run) == (3, 1)
    assert stage.progress().attach_ids == (7, 9, 8)


def test_the_records_have_the_last_word() -> None:
    stage = stage_state(5)
    stage.merge(report((0, 7)))
    stage.correct(StageCounts(delivered=3, missed=1))
    assert (stage.delivered, stage.in_flight, stage.missing) == (3, 0, 2)
    knew = stage.lacks_ids
    stage.learn(((0, 7), (1, 8), (2, 9)))
    assert (knew, stage.lacks_ids) == (True, False)


def test_a_final_refusal_stops_the_stage_at_once() -> None:
    stage = stage_state()
    stage.merge(report((0, 7)))
    stage.note_refusals("offline", 0, "blocked: blood", final=True)
    assert (stage.stopped, stage.reason) == (True, f"blocked: blood{REFUSED_FOR_GOOD}")


def test_three_refusals_stop_the_stage_only_while_this_run_delivered_nothing() -> None:
    without, with_one = stage_state(delivered=1), stage_state()
    with_one.merge(report((0, 7)))
    for stage in (without, with_one):
        stage.note_refusals("offline", 2, None, final=False)
        assert not stage.stopped
        stage.note_refusals("offline", 1, None, final=False)
    assert without.stopped
    assert not with_one.stopped


def test_rounds_after_the_first_are_top_ups() -> None:
    stage = stage_state()
    seen = [stage.progress().status]
    for round_ in range(3):
        stage.begin_round(round_)
        seen.append(stage.progress().status)
    assert seen == [StageStatus.WAITING, StageStatus.DELIVERING, StageStatus.TOPPING_UP, StageStatus.TOPPING_UP]
    assert stage.progress().round == 2


def test_a_complete_stage_ends_without_a_reason() -> None:
    stage = stage_state(1)
    stage.merge(report((0, 7), reason="a miss before"))
    stage.end(cancelled=True, failure="bad key")
    assert (stage.status, stage.ending().reason) == (StageStatus.COMPLETE, None)


def test_a_short_stage_ends_with_its_newest_reason() -> None:
    stage = stage_state()
    stage.merge(report(missed=1, reason="no picture in the answer"))
    stage.end(cancelled=False, failure=None)
    assert (stage.status, stage.reason) == (StageStatus.SHORT, "no picture in the answer")
    unknown = stage_state()
    unknown.end(cancelled=False, failure=None)
    assert unknown.status is StageStatus.SHORT
    assert unknown.ending().reason


def test_a_stage_whose_part_of_max_credits_is_used_up_says_so() -> None:
    stage = stage_state(5, target=1)
    stage.merge(report((0, 7)))
    assert stage.missing == 0
    stage.end(cancelled=False, failure=None)
    assert (stage.status, stage.reason) == (StageStatus.SHORT, "its share of max_credits is used up")


def test_a_cancelled_stage_and_a_failed_one_say_so() -> None:
    cancelled, failed = stage_state(), stage_state()
    cancelled.end(cancelled=True, failure=None)
    failed.end(cancelled=False, failure="GEMINI_API_KEY is wrong")
    assert (cancelled.status, cancelled.ending().reason) == (StageStatus.CANCELLED, "cancelled")
    assert (failed.status, failed.ending().reason) == (StageStatus.SHORT, "GEMINI_API_KEY is wrong")


def test_a_stage_ends_once() -> None:
    stage = stage_state()
    stage.end(cancelled=False, failure=None)
    first = stage.ending()
    stage.end(cancelled=True, failure="late")
    assert stage.ending() == first


@given(st.text(min_size=1, max_size=500))
def test_no_reason_of_a_receipt_is_longer_than_300_characters_or_its_room(reason: str) -> None:
    stage = stage_state()
    stage.merge(report(reason=reason))
    stage.end(cancelled=False, failure=None)
    assert len(stage.ending().reason or "") <= LONGEST_REASON
    assert len((stage.ending(80).reason or "").encode()) <= 80


def test_a_stage_that_one_provider_refuses_goes_to_the_next() -> None:
    stage = StageState(stage_state().plan, ("gemini", "runware"), with_ids=True)
    stage.note_refusals("gemini", 3, "blocked: lemon", final=False)
    assert not stage.stopped
    assert stage.turns.choose({"gemini", "runware"}) == "runware"
    stage.note_refusals("runware", 2, None, final=False)
    assert not stage.stopped
    stage.note_refusals("runware", 1, None, final=False)
    assert stage.stopped


def test_a_final_refusal_is_final_for_every_provider() -> None:
    stage = StageState(stage_state().plan, ("gemini", "runware"), with_ids=True)
    stage.note_refusals("gemini", 1, "blocked: blood", final=True)
    assert (stage.stopped, stage.reason) == (True, f"blocked: blood{REFUSED_FOR_GOOD}")
