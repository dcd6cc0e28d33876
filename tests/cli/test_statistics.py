"""`stats`: a table by day and provider, or its numbers; and the receipt of a job that two providers made."""

import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from cli.working import run as run_work
from darkroom.domain.images import Outcome
from darkroom.domain.jobs import End
from darkroom.records.sqlite import SqliteRecords
from tests.cli.conftest import Run
from tests.contracts.test_records_costs import called, delivered, ended
from tests.contracts.test_records_statistics import made
from tests.support.records.fixture import PRICE, RecordsFixture
from tests.support.records.tables import SqliteTables


@pytest.fixture
def made_by_two(home: Path) -> UUID:
    """A job of which two pictures are Gemini's and one is Runware's, in the second round; and a cancelled one."""

    async def settle() -> UUID:
        records = SqliteRecords(home / "records.db")
        fixture = RecordsFixture(records, SqliteTables(records))
        job = await fixture.opened(await fixture.member(), (3,))
        for ordinal in range(2):
            await made(job, ordinal, "gemini", seconds=2.0)
        await made(job, 2, "runware", seconds=5.0, round_=1)
        await job.close()
        await (await fixture.opened(None, (1,))).close(End.CANCELLED)
        await records.close()
        return job.job_id

    return run_work(settle())


def test_a_table_and_the_same_numbers(run: Run, made_by_two: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    today = str(datetime.now(UTC).date())
    told = run("stats", "--json").document
    assert [(day["day"], day["provider"], day["calls"], day["credits"]) for day in told["providers"]] == [
        (today, "gemini", 2, 2 * PRICE),
        (today, "runware", 1, PRICE),
    ]
    assert told["providers"][1]["recovered_images"] == told["providers"][1]["top_up_rounds"] == 1
    assert told["jobs"] == [{"day": today, "completed": 1, "failed": 0, "cancelled": 1}]
    head, gemini, runware, *_, ends = run("stats").out.splitlines()
    assert head.split()[:4] == ["day", "provider", "calls", "pictures"]
    assert gemini.split()[:4] == [today, "gemini", "2", "100.0%"]
    assert "5.0 s" in runware
    assert ends.split() == [today, "1", "0", "1"]


def test_a_terminal_of_80_columns_shows_everything(
    run: Run, made_by_two: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("stats").out
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    for name in ("provider", "pictures", "refused", "unknown", "p95", "recovered", "credits", "cancelled"):
        assert name in shown


def test_the_receipt_says_who_made_how_many(run: Run, made_by_two: UUID) -> None:
    ended = run("receipt", str(made_by_two))
    assert ended.status == 0
    assert "delivered by: gemini 2 (2 calls), runware 1 (1 call)" in ended.out
    assert [one["provider"] for one in run("receipt", str(made_by_two), "--json").document["total"]["made_by"]] == [
        "gemini",
        "runware",
    ]


def test_jobs_that_called_nobody_are_told_all_the_same(run: Run, home: Path) -> None:
    async def settle() -> None:
        records = SqliteRecords(home / "records.db")
        await (await RecordsFixture(records, SqliteTables(records)).opened(None, (1,))).close(End.CANCELLED)
        await records.close()

    run_work(settle())
    ended = run("stats")
    assert ended.out.splitlines()[-1].split() == [str(datetime.now(UTC).date()), "0", "0", "1"]


def test_nothing_yet_and_nothing_lately_are_said(run: Run, home: Path, request: pytest.FixtureRequest) -> None:
    ended = run("stats")
    assert (ended.status, "no records in" in ended.out) == (0, True)
    assert run("stats", "--json").document == {"providers": [], "jobs": []}
    assert not home.exists()
    request.getfixturevalue("made_by_two")
    then = (datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="microseconds")
    with sqlite3.connect(home / "records.db") as db:
        db.execute("update quel_generation_attempts set started_at = ?", (then,))
        db.execute("update quel_production_jobs set completed_at = ?", (then,))
    db.close()
    assert "no calls and no ended jobs since" in run("stats", "--days", "3").out
    assert len(run("stats", "--days", "4", "--json").document["providers"]) == 2


@pytest.mark.parametrize("days", ["0", "-1", "3651", "many", ""])
def test_days_that_are_none_are_one_line(run: Run, home: Path, days: str) -> None:
    ended = run("stats", "--days", days)
    assert ended.status == 2
    assert "--days" in ended.error


@pytest.fixture
def billed(home: Path) -> UUID:
    """A job of which Gemini delivered two pictures and missed one; of one call the cost is unknown."""

    async def settle() -> UUID:
        records = SqliteRecords(home / "records.db")
        fixture = RecordsFixture(records, SqliteTables(records))
        job = await fixture.opened(await fixture.member(), (4,))
        await delivered(job, 0, Decimal("0.75"))
        await delivered(job, 1, Decimal("0.5"))
        await ended(job, 2, Outcome.MISSED, Decimal("0.0011"))
        await called(job, 3)
        await job.close(End.CANCELLED)
        await records.close()
        return job.job_id

    return run_work(settle())


def test_statistics_tell_cost_and_margin(run: Run, billed: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDIT_USD", "0.05")
    monkeypatch.setenv("COLUMNS", "150")
    [day] = run("stats", "--json").document["providers"]
    assert day["costs"]["account"] == {
        "usd": "1.2511",
        "usd_without_picture": "0.0011",
        "unknown_calls": 1,
        "income_usd": "2",
        "margin_usd": "0.7489",
    }
    assert day["costs"]["by_cause"]["missed"] == {"calls": 1, "usd": "0.0011", "unknown": 0}
    said = run("stats").out.split()
    for figure in ("$1.25", "$0.0011", "$2.00", "$0.7489"):
        assert figure in said


def test_costs_fit_into_80_columns(run: Run, billed: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("stats").out
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "$1.25" in shown


def test_the_receipt_tells_cost_and_margin(run: Run, billed: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    without = run("receipt", str(billed)).out
    assert "margin" not in without
    assert "$1.25" in without
    monkeypatch.setenv("CREDIT_USD", "0.05")
    lines = {line.strip().split("  ")[0]: line for line in run("receipt", str(billed)).out.splitlines()}
    assert "$1.25" in lines["cost"]
    assert "misses $0.0011" in lines["without a picture"]
    assert "1" in lines["cost unknown"].split()
    assert "$0.7489" in lines["margin"]


def test_what_cost_nothing_is_not_told(run: Run, home: Path) -> None:
    async def settle() -> UUID:
        records = SqliteRecords(home / "records.db")
        fixture = RecordsFixture(records, SqliteTables(records))
        job = await fixture.opened(await fixture.member(), (2,))
        await delivered(job, 0, Decimal(0))
        await ended(job, 1, Outcome.MISSED, Decimal(0))
        await job.close(End.CANCELLED)
        await records.close()
        return job.job_id

    job_id = run_work(settle())
    assert "$" not in run("stats").out
    assert "$" not in run("receipt", str(job_id)).out
