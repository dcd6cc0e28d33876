"""Progress as people read it: time left, and the page in the Temporal Web UI."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.index_ranges import index_ranges, indexes_of
from darkroom.domain.progress import JobStatus, Progress, StageProgress, caught_up, eta_seconds, markdown, trails
from darkroom.domain.receipts import (
    OTHER_REASON,
    Receipt,
    StageEnd,
    StageMissing,
    each_end,
    grouped,
    nothing_delivered,
    room_of_each,
    shorten,
)
from darkroom.domain.rounds import StageStatus

JOB = UUID(int=1)


def progress(**changes: object) -> Progress:
    stage = StageProgress(
        stage_index=0,
        label="stage 1",
        quantity=50,
        completed=48,
        in_flight=2,
        round=1,
        status=StageStatus.TOPPING_UP,
        missed=2,
    )
    values = {
        "job_id": JOB,
        "job_type": "pipeline_stage",
        "status": JobStatus.PROCESSING,
        "total_images": 150,
        "completed_images": 148,
        "stages": (stage,),
    }
    return Progress.model_validate(values | changes)


def test_progress_has_the_fields_that_clients_read() -> None:
    fields = set(progress().model_dump())
    assert fields >= {
        "job_id", "job_type", "status", "paused", "pause_reason", "cancel_requested", "total_images",
        "completed_images", "failed_images", "generated_attach_ids", "stages", "started_at", "eta_seconds", "stalled",
    }  # fmt: skip
    assert set(progress().stages[0].model_dump()) == {
        "stage_index", "label", "quantity", "completed", "in_flight", "round", "status", "reason",
        "missed", "refused", "attach_ids", "retrying", "fault", "since",
    }  # fmt: skip


@given(st.integers(-1, 1_000), st.integers(-1, 1_000), st.floats(-1, 1e6))
def test_time_left_is_known_only_after_the_first_image_and_before_the_last(
    delivered: int, missing: int, elapsed: float
) -> None:
    left = eta_seconds(delivered, missing, elapsed)
    assert (left is None) == (delivered <= 0 or missing <= 0 or elapsed <= 0)
    if left is not None:
        assert left == pytest.approx(missing * elapsed / delivered, abs=0.06)


def test_time_left_follows_the_pace_of_the_run() -> None:
    assert eta_seconds(10, 5, 25.0) == 12.5


def test_the_page_shows_totals_state_and_a_row_a_stage() -> None:
    page = markdown(progress())
    assert "148 of 150" in page
    assert "processing" in page
    row = next(line for line in page.splitlines() if line.startswith("| stage 1"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert [cell.strip() for cell in cells] == ["stage 1", "48 of 50", "2", "1", "topping_up", "2", "0", ""]


def test_the_page_tells_paused_from_cancelling() -> None:
    paused = markdown(progress(paused=True, pause_reason="daily quota of gemini spent"))
    assert "paused" in paused
    assert "daily quota of gemini spent" in paused
    assert "cancelling" in markdown(progress(cancel_requested=True))
    assert "cancelling" not in markdown(progress(cancel_requested=True, status=JobStatus.CANCELLED))


def test_the_page_has_a_column_for_reasons_which_tells_retries_first() -> None:
    since = datetime(2026, 11, 26, 10, 42, tzinfo=UTC)
    stage = StageProgress(
        stage_index=0, label="s", quantity=5, reason="missed", retrying=5, fault="HTTP 503", since=since
    )
    table = [line for line in markdown(progress(stages=(stage,))).splitlines() if line.startswith("|")]
    assert [row.strip("|\u2003").split("|")[-1].strip() for row in (table[0], table[2])] == [
        "reason",
        "retrying 5 since 10:42 UTC: HTTP 503",
    ]


def test_an_answer_of_an_earlier_worker_is_read_without_what_it_does_not_know() -> None:
    older = progress().model_dump(mode="json", exclude={"stalled", "failing", "without_worker"})
    for stage in older["stages"]:
        for name in ("retrying", "fault", "since"):
            del stage[name]
    assert Progress.model_validate(older) == progress()
    # The `temporal` program writes lists without anything in them as null.
    assert Progress.model_validate(older | {"failing": None, "without_worker": None}) == progress()


@given(st.text(max_size=60))
def test_every_row_of_the_page_has_eight_cells_whatever_the_reason_says(reason: str) -> None:
    stage = StageProgress(stage_index=0, label="a|b", quantity=1, status=StageStatus.SHORT, reason=reason)
    rows = [line for line in markdown(progress(stages=(stage,))).splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert {row.count("|") for row in rows} == {9}


def test_only_three_statuses_are_ends() -> None:
    assert [status for status in JobStatus if status.ended] == ["completed", "failed", "cancelled"]


@given(st.text(max_size=200), st.integers(3, 100), st.none() | st.integers(20, 100))
def test_a_shortened_reason_fits_and_shows_that_it_was_cut(reason: str, longest: int, most_bytes: int | None) -> None:
    short = shorten(reason, longest, most_bytes)
    assert len(short) <= longest
    assert most_bytes is None or len(short.encode()) <= most_bytes
    assert short == reason or "…" in short


REMEDY = "; set GEMINI_API_KEY to a key of https://aistudio.google.com/apikey"


@pytest.mark.parametrize("quoted", ["its own words; and more ", "은하수 사진을 그릴 수 없습니다 "])
@pytest.mark.parametrize(("longest", "most_bytes"), [(300, None), (120, None), (300, 250), (300, 95)])
def test_a_reason_is_cut_in_its_middle_and_keeps_its_remedy(quoted: str, longest: int, most_bytes: int | None) -> None:
    reason = f"Gemini refuses the key: {quoted * 40}{REMEDY}"
    short = shorten(reason, longest, most_bytes)
    assert short.startswith("Gemini refuses the key: ")
    assert short.endswith(f"…{REMEDY}")
    assert len(short) == longest or most_bytes is not None
    assert shorten(reason[:270] + REMEDY[:30]) == reason[:270] + REMEDY[:30], "300 characters are kept whole"


def test_why_nothing_was_delivered_is_said_once_for_all_stages_that_agree() -> None:
    def of(*reasons: str) -> str:
        return nothing_delivered([StageMissing(stage_index=n, missing=1, reason=why) for n, why in enumerate(reasons)])

    assert of(*["the key is wrong; set it"] * 9) == "nothing was delivered: the key is wrong; set it"
    assert of("a", "b", "a", "c", "d") == "nothing was delivered: stage 1: a; stage 2: b; stage 4: c"
    long = of(*(f"reason {n}: {'words ' * 60}; do {n}" for n in range(5)))
    assert len(long) <= 300
    assert [f"; do {n}" in long for n in range(3)] == [True] * 3


def test_the_receipt_of_100_short_stages_fits_into_a_history() -> None:
    gaps = tuple(
        StageMissing(stage_index=n, missing=10_000, reason=shorten("é" * 500, most_bytes=room_of_each(100)))
        for n in range(100)
    )
    receipt = Receipt(
        job_id=JOB,
        job_type="pipeline_stage",
        status=JobStatus.FAILED,
        ordered=30_000,
        delivered=0,
        missing=gaps,
        error_message=shorten("é" * 500),
    )
    assert len(receipt.model_dump_json().encode()) < 16 * 1024


def test_the_receipt_of_1_000_short_stages_names_100_of_them_in_a_history() -> None:
    gaps = tuple(StageMissing(stage_index=n, missing=10, reason="é" * 300) for n in range(1_000))
    receipt = Receipt(
        job_id=JOB, job_type="template", status=JobStatus.COMPLETED, ordered=10_000, delivered=9, missing=gaps
    )
    told = receipt.for_history()
    assert len(told.model_dump_json().encode()) < 16 * 1024
    assert [gap.stage_index for gap in told.missing] == list(range(100))
    assert told.more_missing == 900
    assert told.for_history() == told


def _ends() -> st.SearchStrategy[list[StageEnd]]:
    reasons = st.sampled_from([None, "a miss", "refused; change the prompt"])
    statuses = st.sampled_from(list(StageStatus))
    indexes = st.lists(st.integers(0, 999), unique=True).map(sorted)
    return indexes.flatmap(
        lambda found: st.tuples(
            *(st.builds(StageEnd, stage_index=st.just(n), status=statuses, reason=reasons) for n in found)
        ).map(list)
    )


@given(_ends())
def test_the_ends_of_stages_are_the_same_in_groups(ends: list[StageEnd]) -> None:
    assert list(each_end(grouped(ends))) == ends


def test_the_ends_of_1_000_stages_with_a_reason_each_fit_into_a_history() -> None:
    ends = [StageEnd(stage_index=n, status=StageStatus.SHORT, reason=f"{n}: {'é' * 290}") for n in range(1_000)]
    groups = grouped(ends)
    assert sum(len(group.model_dump_json().encode()) for group in groups) < 15 * 1024
    told = each_end(groups)
    assert [end.stage_index for end in told] == list(range(1_000))
    assert (told[0].reason or "").startswith("0: é")
    assert told[999].reason == OTHER_REASON


@given(st.sets(st.integers(0, 50)))
def test_numbers_are_the_same_in_ranges(numbers: set[int]) -> None:
    assert list(indexes_of(index_ranges(numbers))) == sorted(numbers)


def test_ranges_are_short() -> None:
    assert index_ranges([7, 3, 0, 1, 2, 4]) == "0-4,7"


def test_the_table_of_many_stages_shows_those_that_are_neither_waiting_nor_complete() -> None:
    statuses = [StageStatus.COMPLETE] * 300 + [StageStatus.DELIVERING] * 40 + [StageStatus.WAITING] * 660
    stages = tuple(
        StageProgress(stage_index=n, label=f"row {n}", quantity=1, status=status) for n, status in enumerate(statuses)
    )
    progress = Progress(
        job_id=JOB,
        job_type="template",
        status=JobStatus.PROCESSING,
        total_images=1_000,
        completed_images=300,
        stages=stages,
    )
    told = markdown(progress)
    assert told.count("| row ") == 40
    assert told.endswith("1,000 stages: 300 complete, 40 delivering, 660 waiting")


def test_what_a_workflow_told_never_hides_what_the_records_have_shown() -> None:
    """After its batch's worker died it trails until the next report."""

    def of(*ids: int) -> Progress:
        stage = StageProgress(stage_index=0, label="s", quantity=4, completed=len(ids), in_flight=1, attach_ids=ids)
        return Progress(
            job_id=UUID(int=1), job_type="pipeline_stage", status=JobStatus.PROCESSING, total_images=4,
            completed_images=len(ids), generated_attach_ids=ids, stages=(stage,),
        )  # fmt: skip

    assert not trails(of(7, 8), of(7, 8))
    assert not trails(of(7, 8, 9), of(7, 8))
    assert trails(of(7), of(7, 8))
    assert trails(of(7, 9), of(7, 8))
    assert trails(of(7), of(7, 8).model_copy(update={"completed_images": 1, "generated_attach_ids": (7,)}))
    assert trails(of(7, 8).model_copy(update={"generated_attach_ids": ()}), of(7, 8))
    assert caught_up(of(7), of(7, 8, 9)) == of(7, 8, 9)
