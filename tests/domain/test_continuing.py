"""What one execution of a job's workflow leaves to the next: all that matters, and little of it."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.contrib.pydantic import pydantic_data_converter

from darkroom.domain.batches import BatchReport
from darkroom.domain.continuing import MOST_REASONS, Continued, Reasons
from darkroom.domain.job_control import JobControl
from darkroom.domain.job_state import JobState
from darkroom.domain.jobs import JobInput, OpenedRun
from darkroom.domain.rounds import StageCounts, StagePlan, StageStatus
from darkroom.domain.stage_state import StageState

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
PROVIDERS = ("gemini", "runware")


def _opened(plans: tuple[StagePlan, ...], continued: Continued | None = None, generation: int = 0) -> JobState:
    state = JobState(uuid4(), NOON)
    total = sum(plan.quantity for plan in plans)
    run = OpenedRun(stages=plans, providers=PROVIDERS, total_images=total, generation=generation)
    state.open(run, NOON, continued)
    return state


def _plan(index: int, delivered: int = 0) -> StagePlan:
    return StagePlan(
        stage_index=index, label=f"stage {index}", quantity=10, target=10, counts=StageCounts(delivered=delivered)
    )


def _facts(stage: StageState) -> tuple[object, ...]:
    turns = stage.turns
    return (
        stage.round, stage.left, stage.batch, stage.status, stage.reason, stage.stopped, stage.cancelled,
        stage.delivered_in_run, turns.willing, turns.choose(PROVIDERS), [turns.refusals(name) for name in PROVIDERS],
    )  # fmt: skip


@st.composite
def _stages(draw: st.DrawFn) -> StageState:
    stage = StageState(_plan(draw(st.integers(0, 9)), draw(st.integers(0, 3))), PROVIDERS, with_ids=False)
    for round_ in range(draw(st.integers(0, 3))):
        stage.begin_round(round_)
        stage.merge(BatchReport(stage_index=stage.plan.stage_index, delivered=draw(st.integers(0, 2)), reason="a miss"))
        provider = draw(st.sampled_from(PROVIDERS))
        stage.note_refusals(
            provider, draw(st.integers(0, 3)), draw(st.sampled_from([None, "no"])), final=draw(st.booleans())
        )
        stage.batch = draw(st.integers(0, 5))
        if draw(st.booleans()):
            stage.left = None
    if stage.round and draw(st.booleans()):
        stage.cancelled = stage.stopped = draw(st.booleans())
        stage.end(cancelled=draw(st.booleans()), failure=None)
    return stage


@given(_stages())
def test_a_stage_goes_on_where_it_was(stage: StageState) -> None:
    reasons = Reasons()
    kept = stage.keep(reasons)
    plan = stage.plan.model_copy(update={"counts": StageCounts(delivered=stage.delivered)})
    another = StageState(plan, PROVIDERS, with_ids=False)
    another.restore(kept, Reasons(reasons.kept))
    # Nothing is left to make of a complete one, so that it is complete is all that matters.
    complete = stage.status is StageStatus.COMPLETE
    assert another.status is stage.status
    assert complete or _facts(another) == _facts(stage)


@pytest.mark.parametrize("letter", ["x", "은"])
async def test_what_a_hundred_stages_in_progress_leave_is_below_16_kib(letter: str) -> None:
    state = _opened(tuple(_plan(index) for index in range(100)))
    for stage in state.stages:
        stage.begin_round(3)
        stage.reason = f"{stage.plan.stage_index}: {letter * 290}"
        stage.note_refusals("gemini", 2, None, final=False)
    kept = state.keep("run", JobControl())
    assert len(kept.reasons) == MOST_REASONS
    job = JobInput(job_id=uuid4(), continued=kept)
    [payload] = await pydantic_data_converter.encode([job])
    assert len(payload.data) < 16 * 1024
    [decoded] = await pydantic_data_converter.decode([payload], [JobInput])
    assert decoded == job
    another = _opened(tuple(_plan(index) for index in range(100)), kept)
    assert [stage.round for stage in another.stages] == [3] * 100
    assert {stage.left for stage in another.stages} == {10}


def test_a_thousand_stages_of_which_most_ended_short_leave_less_than_16_kib() -> None:
    plans = tuple(_plan(index) for index in range(1_000))
    state = _opened(plans, generation=2)
    for number, stage in enumerate(state.stages):
        if number >= 960:
            stage.begin_round(2)
        elif number % 3:
            stage.round = 1 + number % 5
            stage.reason = f"{number % 7}: {'x' * 290}"
            stage.end(cancelled=number % 2 == 0, failure=None)
        else:
            stage.merge(BatchReport(stage_index=number, delivered=10))
            stage.end(cancelled=False, failure=None)
    kept = state.keep("run", JobControl())
    assert len(kept.stages) == 40
    assert len(kept.model_dump_json()) < 16 * 1024
    counted = tuple(
        plan.model_copy(update={"counts": StageCounts(delivered=stage.delivered)})
        for plan, stage in zip(plans, state.stages, strict=True)
    )
    another = _opened(counted, kept)
    for before, after in zip(state.stages, another.stages, strict=True):
        assert (after.status, after.left) == (before.status, before.left)
        assert after.status is StageStatus.COMPLETE or (after.round, after.reason) == (before.round, before.reason)


def test_complete_stages_are_not_kept_and_stay_complete() -> None:
    state = _opened((_plan(0, 10), _plan(1)))
    for stage in state.stages:
        stage.end(cancelled=False, failure=None)
    kept = state.keep("run", JobControl())
    assert [stage.stage_index for stage in kept.stages] == [1]
    first, second = _opened((_plan(0, 10), _plan(1)), kept).stages
    assert first.ended
    assert second.ended
    assert second.reason == "not delivered in any round"
