"""Tables on narrow terminals and in pipes: numbers and remedies are never cut, whatever the reasons' length."""

import io
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from rich.console import Console, RenderableType

from cli.display import Watched
from cli.output import THEME, console
from cli.tables import JobTable, account_table, key_table, receipt_table
from darkroom.domain.jobs import JobRow
from darkroom.domain.keys import ApiKey
from darkroom.domain.money import Account, JournalRow
from darkroom.domain.progress import JobStatus, Progress, StageProgress
from darkroom.domain.receipts import Receipt, StageMissing, Tally
from darkroom.domain.rounds import StageStatus

REMEDY = "; set GEMINI_API_KEY to a key of aistudio.google.com"
REASON = f"Gemini refuses the key (HTTP 400 INVALID_ARGUMENT): {'its own words ' * 14}{REMEDY}"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def job(**fields: object) -> JobRow:
    row: dict[str, object] = dict.fromkeys(JobRow.model_fields)
    row |= {"job_id": uuid4(), "status": "failed", "error_message": REASON, "total_images": 9_999}
    row |= {"completed_images": 9_998, "failed_images": 1, "generated_attach_ids": (), "retry_count": 0}
    row |= {"paused": False, "cancel_requested": False, "priority": 3, "created_at": NOW, "updated_at": NOW}
    return JobRow.model_validate(row | fields)


def test_a_receipt_names_short_stages_by_their_labels() -> None:
    stages = [StageProgress(stage_index=0, label="red chair", quantity=30_000, completed=29_999)]
    assert "red chair: 1 missing: " in shown(receipt_table(receipt(), stages), 120)


def receipt() -> Receipt:
    tally = Tally(delivered=29_999, charged=599_980, released=20, provider_calls=31_234, misses=1_234, seconds=3_700)
    return Receipt(
        job_id=uuid4(),
        job_type="pipeline_stage",
        status=JobStatus.FAILED,
        ordered=30_000,
        delivered=29_999,
        missing=(StageMissing(stage_index=0, missing=1, reason=REASON),),
        unit_price=20,
        error_message=REASON,
        total=tally,
        last_run=tally.model_copy(update={"delivered": 1}),
    )


def account() -> RenderableType:
    change = {"transaction_type": "what somebody else writes here", "amount": -20, "balance_after": 1_999_999_999}
    change |= {"attach_id": 1_234_567_890, "production_id": None, "idempotency_key": None, "created_at": NOW}
    return account_table(
        Account(user_id=uuid4(), balance=1_999_999_999, held=100_000), [JournalRow.model_validate(change)]
    )


def watched() -> Watched:
    found = Watched()
    stage = {"stage_index": 0, "label": f"stage 0 · {'a long label ' * 5}", "quantity": 9_999, "completed": 9_998}
    progress = Progress(
        job_id=uuid4(),
        job_type="pipeline_stage",
        status=JobStatus.PROCESSING,
        total_images=9_999,
        completed_images=9_998,
        stages=(StageProgress.model_validate(stage | {"status": StageStatus.SHORT, "reason": REASON}),),
    )
    found.update(progress, "workflow")
    found.update(progress.model_copy(update={"paused": True, "pause_reason": REASON}), "workflow")
    return found


def shown(table: RenderableType | Watched, width: int) -> str:
    narrow = Console(file=io.StringIO(), width=width, height=50, highlight=False, theme=THEME)
    with narrow.capture() as capture:
        narrow.print(table.shown(narrow) if isinstance(table, Watched) else table)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    return "\n".join(line.rstrip() for line in lines)


def unwrapped(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_narrow_terminal_cuts_no_number_and_no_remedy(width: int) -> None:
    jobs = [job(), job(status="processing", paused=True, pause_reason=REASON), job(status="completed")]
    listed = shown(JobTable(jobs), width)
    assert all(str(row.job_id) in listed for row in jobs)
    assert listed.count("9,998 of 9,999") == 3
    assert unwrapped(listed).count(unwrapped(REASON)) == 2
    of_receipt = shown(receipt_table(receipt(), ()), width)
    assert "stage 1: 1 missing" in of_receipt
    assert {"30,000", "29,999", "599,980", "31,234", "1,234"} <= {*of_receipt.split()}
    assert "1 h 01 min   1 h 01 min" in of_receipt
    assert unwrapped(of_receipt).count(unwrapped(REASON)) == 2
    of_account = shown(account(), width)
    assert {"1,999,999,999", "1,999,899,999", "100,000", "-20"} <= {*of_account.split()}
    followed = shown(watched(), width)
    assert followed.count("9,998 of 9,999") == 2
    assert unwrapped(followed).count(unwrapped(REMEDY)) == 2


def test_a_pipe_gets_a_line_per_job_with_the_whole_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    pipe = io.StringIO()
    jobs = [job(), job(status="processing", paused=True, pause_reason=REASON)]
    console(pipe).print(JobTable(jobs))
    title, *lines = pipe.getvalue().splitlines()
    assert title.split() == ["job", "created", "delivered", "status"]
    for row, line in zip(jobs, lines, strict=True):
        assert line.startswith(str(row.job_id))
        assert "9,998 of 9,999" in line
        assert line.endswith(REMEDY)


def test_the_status_of_a_running_job_says_why_a_stage_is_short() -> None:
    found = watched()
    found.events.clear()
    assert unwrapped(REMEDY) in unwrapped(shown(found, 60).partition("total")[2])


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_a_narrow_terminal_cuts_no_id_of_a_key(width: int) -> None:
    key = ApiKey(key_id=uuid4(), user_id=uuid4(), name="the shop", operator=True, created_at=NOW, revoked_at=NOW)
    listed = shown(key_table([key, key]), width)
    for word in (str(key.key_id), str(key.user_id), "the shop", "2026-11-26"):
        assert listed.count(word) >= 2, listed
    assert "…" not in listed
