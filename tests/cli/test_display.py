"""How a running job is shown."""

import io
from datetime import datetime
from uuid import uuid4

import pytest
from rich.console import Console

from cli.display import Pace, Watched, chosen_stages
from cli.output import THEME, one_line, seconds_left
from darkroom.domain.progress import FailingProvider, JobStatus, Progress, StageProgress
from darkroom.domain.rounds import StageStatus


def stage(index: int, completed: int, **fields: object) -> StageProgress:
    return StageProgress.model_validate(
        {"stage_index": index, "label": f"stage {index}", "quantity": 16, "completed": completed, **fields}
    )


def progress(*stages: StageProgress, status: JobStatus = JobStatus.PROCESSING, **fields: object) -> Progress:
    return Progress.model_validate(
        {
            "job_id": uuid4(),
            "job_type": "pipeline_stage",
            "status": status,
            "total_images": sum(stage.quantity for stage in stages),
            "completed_images": sum(stage.completed for stage in stages),
            "stages": stages,
            **fields,
        }
    )


def shown(watched: Watched, width: int = 110, height: int = 40) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False, theme=THEME)
    with console.capture() as capture:
        console.print(watched.shown(console))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 110, 200])
def test_counts_are_never_cut_and_stay_in_their_column(width: int) -> None:
    watched, columns = Watched(), set()
    for completed in (0, 9, 10, 16):
        watched.update(progress(stage(0, completed, status="delivering"), stage(1, 3, status="topping_up")), "workflow")
        lines = shown(watched, width)
        assert all(len(line) <= width for line in lines)
        row = next(line for line in lines if line.startswith("stage 1"))
        assert f"{completed} of 16" in row
        columns.add(row.index(" of 16"))
    assert len(columns) == 1


def test_a_top_up_is_told_when_it_starts_and_once() -> None:
    watched = Watched()
    first = progress(stage(0, 14, status=StageStatus.DELIVERING))
    assert watched.update(first, "workflow") == []
    again = progress(stage(0, 14, status=StageStatus.TOPPING_UP, round=1))
    assert watched.update(again, "workflow") == ["stage 1: top-up 1 started, 2 pictures missing"]
    assert watched.update(again, "workflow") == []
    end = progress(stage(0, 16, status=StageStatus.COMPLETE, round=1))
    assert watched.update(end, "workflow") == ["stage 1: complete after 1 top-up"]


def test_a_hundred_stages_fit_and_those_alive_are_shown() -> None:
    stages = [stage(n, 16, status="complete") for n in range(100)]
    stages[70] = stage(70, 3, status="delivering")
    kept, others = chosen_stages(stages, 10)
    assert 70 in [one.stage_index for one in kept]
    assert len(kept) == 9
    assert len(others) == 91
    watched = Watched()
    watched.update(progress(*stages), "workflow")
    assert len(shown(watched, height=24)) <= 24


def test_what_is_told_from_the_records_says_so() -> None:
    watched = Watched()
    watched.update(progress(stage(0, 3)), "records")
    assert "from the records" in shown(watched)[0]


def test_a_pause_and_its_reason_are_shown() -> None:
    watched = Watched()
    watched.update(progress(stage(0, 3)), "workflow")
    assert watched.update(progress(stage(0, 3), paused=True, pause_reason="over night"), "workflow") == [
        "paused: over night"
    ]
    assert "paused: over night" in shown(watched)[0]


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    for second in range(100):
        pace.add(second * 2 if second < 50 else 100 + (second - 50) * 5, float(second))
    assert pace.per_second == pytest.approx(5)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3600, "1 h 00 min"), (7384, "2 h 03 min")]
)
def test_durations_are_told_in_their_size(seconds: float, words: str) -> None:
    assert seconds_left(seconds) == words


def test_a_line_cannot_steer_the_terminal() -> None:
    assert one_line("a\x1b[2J\nb\tc") == "a?[2J b c"


FAILING = FailingProvider(
    provider="gemini", reason="HTTP 503", since=datetime(2026, 11, 26, 10, 42).astimezone(), retrying=5
)


def test_a_failing_provider_is_shown_and_no_time_left() -> None:
    watched = Watched()
    watched.update(progress(stage(0, 4, status=StageStatus.DELIVERING), eta_seconds=1.0), "workflow")
    assert "about 1 s left" in watched.line()
    trouble = stage(0, 4, status=StageStatus.DELIVERING, retrying=5, fault="HTTP 503", since=FAILING.since)
    news = watched.update(progress(trouble, failing=(FAILING,)), "workflow")
    assert news == ["Gemini is failing (HTTP 503) since 10:42; 5 pictures are being retried"]
    text = "\n".join(shown(watched, width=160))
    assert "Gemini is failing (HTTP 503) since 10:42; 5 pictures are being retried" in text
    assert " retrying 5: HTTP 503" in text
    assert "left" not in text
    assert watched.update(progress(stage(0, 5)), "workflow") == ["gemini answers again"]


@pytest.mark.parametrize("width", [80, 110, 160])
def test_a_long_reason_leaves_the_numbers_whole(width: int) -> None:
    watched = Watched()
    fault = "HTTP 503: " + "the model is overloaded; " * 8
    watched.prompts = {0: "a lemon on a table, morning light through a linen curtain"}
    watched.update(progress(stage(0, 4, status=StageStatus.DELIVERING, retrying=5, fault=fault)), "workflow")
    lines = shown(watched, width=width)
    assert sum(" 4 of 16" in line for line in lines) == 2
    assert sum(" retrying 5: " in line for line in lines) == 1
    assert max(map(len, lines)) <= width


def test_no_worker_is_shown_when_it_begins_and_when_it_is_over() -> None:
    watched = Watched()
    lacking = ("darkroom", "darkroom-generate", "darkroom-publish")
    [told] = watched.update(progress(stage(0, 4), without_worker=lacking), "records")
    assert told.startswith("no worker is running; start one with `")
    assert any("no worker is running" in line for line in shown(watched, width=160))
    assert watched.update(progress(stage(0, 4), without_worker=lacking), "records") == []
    assert watched.update(progress(stage(0, 4)), "workflow") == ["a worker is running"]


def test_a_stalled_job_is_said_to_stall_once() -> None:
    watched = Watched()
    assert watched.update(progress(stage(0, 4), stalled=True), "workflow") == [
        "stalled: no picture was delivered or missed lately"
    ]
    assert watched.update(progress(stage(0, 4), stalled=True), "workflow") == []
