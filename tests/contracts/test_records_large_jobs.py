"""Closing a large job takes a moment, not the square of it: nobody else can write meanwhile."""

import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from darkroom.domain.jobs import End
from darkroom.records.sqlite import SqliteRecords
from tests.support.records.fixture import PRICE, RecordsFixture
from tests.support.records.tables import SqliteTables

IMAGES = 12_000


async def test_a_job_of_thousands_of_images_is_closed_and_counted_at_once(tmp_path: Path) -> None:
    few = await seconds_to_close(tmp_path / "few.db", IMAGES // 4)
    many = await seconds_to_close(tmp_path / "many.db", IMAGES)
    # With each picture held against each charge it took sixteen times as long.
    assert many < 8 * few, f"{many:.1f} s for {IMAGES} images, {few:.1f} s for a quarter of them"


async def seconds_to_close(path: Path, images: int) -> float:
    """The seconds to close and count a job whose images are all delivered and paid for."""
    records = SqliteRecords(path)
    fixture = RecordsFixture(records, SqliteTables(records))
    user_id = await fixture.member(images * PRICE)
    job = await fixture.opened(user_id, (images,))
    moment = datetime.now(UTC).isoformat(timespec="microseconds")
    keys = [{"job": str(job.job_id), "n": n, "id": n + 1, "call": str(uuid4())} for n in range(images)]
    given = {"run": job.run, "user": str(user_id), "price": PRICE, "at": moment}
    with sqlite3.connect(path) as db:
        for statement in (
            "insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, "
            "outcome, seconds, started_at) values (:call, :job, 0, :n, :run, 0, 'gemini', 'generated', 1, :at)",
            "insert into quel_attach (attach_id, attach_file_name, attach_file_path, attach_file_size, "
            "attach_file_type, attach_directory, attach_storage_type, job_id, stage_index, ordinal, delivered_at, "
            "delivered_run, created_at) values (:id, 'a', 'a', 1, 'a', 'a', 'a', :job, 0, :n, :at, :run, :at)",
            "insert into quel_credits (user_id, transaction_type, amount, balance_after, attach_idx, job_id, "
            "idempotency_key, created_at) values (:user, 'DEDUCT', -:price, 0, :id, :job, :job || '/0/' || :n, :at)",
        ):
            db.executemany(statement, [key | given for key in keys])
        db.execute("update quel_job_stages set delivered_images = quantity")
        db.execute("update quel_member set quel_member_credit = 0")
        db.execute("update quel_credit_holds set amount = 0")
    db.close()
    started = time.monotonic()
    receipt = await job.close(End.DELIVERED)
    found = await records.statistics(datetime.now(UTC).date())
    seconds = time.monotonic() - started
    assert (receipt.delivered, receipt.total.charged) == (images, images * PRICE)
    assert [(one.provider, one.delivered) for one in receipt.last_run.made_by] == [("gemini", images)]
    assert [(day.calls, day.credits) for day in found.providers] == [(images, images * PRICE)]
    assert await records.audit() == []
    await records.close()
    return seconds


@pytest.mark.slow
async def test_a_job_whose_provider_failed_for_long_is_looked_at_at_once(tmp_path: Path) -> None:
    """Each image that was given up has twenty calls without a picture, and who watches asks again and again."""
    path = tmp_path / "records.db"
    records = SqliteRecords(path)
    fixture = RecordsFixture(records, SqliteTables(records))
    job = await fixture.opened(None, (IMAGES,))
    moment = datetime.now(UTC).isoformat(timespec="microseconds")
    calls = [
        (str(uuid4()), str(job.job_id), image, job.run, attempt, "missed" if attempt == 20 else "fault", moment)
        for image in range(IMAGES)
        for attempt in range(1, 21 if image < IMAGES - 25 else 20)
    ]
    with sqlite3.connect(path) as db:
        db.executemany(
            "insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, "
            "attempt, outcome, seconds, started_at) values (?, ?, 0, ?, ?, 0, 'gemini', ?, ?, 1, ?)",
            calls,
        )
    db.close()
    found, seconds = None, []
    for _ in range(3):
        started = time.monotonic()
        found = await records.movement(job.job_id, datetime.now(UTC))
        seconds.append(time.monotonic() - started)
    assert found is not None
    assert len(found.retried) == 25
    await records.close()
    # With every call read in Python this took nine times as long as handing them over alone, for each who watched.
    with sqlite3.connect(path) as db:
        handed = seconds_to_hand_over(db)
    db.close()
    assert min(seconds) < 3 * handed, f"{min(seconds):.1f} s, and {handed:.1f} s to hand every call to Python"


def seconds_to_hand_over(db: sqlite3.Connection) -> float:
    """The seconds that it takes to hand each call of the file to Python."""
    started = time.monotonic()
    for call in db.execute("select ordinal, attempt, outcome, started_at from quel_generation_attempts"):
        datetime.fromisoformat(call[3])
    return time.monotonic() - started
