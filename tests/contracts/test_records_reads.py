"""No look at a SQLite file walks over all of a large job or a long list: counted in steps of SQLite's machine."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from darkroom.domain.finding import JobCondition
from darkroom.domain.progress import JobStatus
from darkroom.domain.snapshots import DeliveryMark, JobCursor
from darkroom.records.sqlite import finding, keys, movement, reading, watching
from darkroom.records.sqlite.database import Database, stamp

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
USER, WATCHED, CROWD = uuid4(), uuid4(), uuid4()
IMAGES, JOBS = 10_000, 20_000
MOST = 40_000
"""Steps: a page of 500 pictures takes 28,000, a walk over 10,000 rows 50,000 and more."""


def fill(db: sqlite3.Connection) -> None:
    """A job of which 10,000 pictures are there and a few are not, and many jobs of a few users."""
    db.execute(
        "insert into quel_production_jobs (job_id, job_status, quel_member_id, total_images, current_run_id, "
        "job_input_data, created_at, updated_at) values (?, 'processing', ?, ?, 'run', '{}', ?, ?)",
        (str(WATCHED), str(CROWD), IMAGES, stamp(NOW), stamp(NOW)),
    )
    db.executemany(
        "insert into quel_job_stages (job_id, stage_index, label, prompt, quantity, target, aspect_ratio, "
        "reference_images) values (?, ?, 'l', 'p', ?, ?, '1:1', '[]')",
        [(str(WATCHED), 0, IMAGES // 2, IMAGES // 2), (str(WATCHED), 1, 500, 500)],
    )
    each = [(index, n) for index in (0, 1) for n in range(IMAGES // 2)]
    db.executemany(
        "insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, "
        "outcome, started_at) values (?, ?, ?, ?, 'run', 0, 'offline', ?, ?)",
        [(str(uuid4()), str(WATCHED), index, n, "generated" if n % 500 else None, stamp(NOW)) for index, n in each],
    )
    db.executemany(
        "insert into quel_attach (attach_file_name, attach_file_path, attach_file_size, attach_file_type, "
        "attach_directory, attach_storage_type, job_id, stage_index, ordinal, delivered_at, created_at) "
        "values ('a', 'a', 1, 'a', 'a', 'a', ?, ?, ?, ?, ?)",
        [
            (str(WATCHED), index, n, stamp(NOW + timedelta(milliseconds=n)) if n % 500 > 1 else None, stamp(NOW))
            for index, n in each
        ],
    )
    db.executemany(
        "insert into quel_production_jobs (job_id, job_status, quel_member_id, job_input_data, created_at, "
        "updated_at) values (?, ?, ?, '{}', ?, ?)",
        [
            (
                str(uuid4()),
                # What is asked for is the oldest, so that no walk from the newest end finds it soon.
                "cancelled" if n < JOBS // 2 else "completed",
                str(USER if n % 2 and n < JOBS // 4 else CROWD),
                stamp(NOW + timedelta(seconds=n)),
                stamp(NOW),
            )
            for n in range(JOBS)
        ],
    )


@pytest.fixture(scope="module")
def db() -> Iterator[sqlite3.Connection]:
    connection = Database(":memory:")._writer_connection()
    with connection:
        fill(connection)
    yield connection
    connection.close()


def steps(db: sqlite3.Connection, call: Callable[[sqlite3.Connection], object]) -> int:
    count = 0

    def step() -> int:
        nonlocal count
        count += 100
        return 0

    db.set_progress_handler(step, 100)
    try:
        call(db)
    finally:
        db.set_progress_handler(None, 0)
    return count


MIDDLE = DeliveryMark(delivered_at=NOW + timedelta(seconds=3), attach_id=1)
END = DeliveryMark(delivered_at=NOW + timedelta(days=1), attach_id=1)
OLD = JobCursor(created_at=NOW + timedelta(seconds=JOBS / 5), job_id=UUID(int=0))
CANCELLED = JobStatus.CANCELLED

CALLS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "the first look": lambda db: watching.snapshot(db, WATCHED, None, 500),
    "a look in the middle": lambda db: watching.snapshot(db, WATCHED, MIDDLE, 500),
    "a look when nothing is new": lambda db: watching.snapshot(db, WATCHED, END, 500),
    "whether a job moves": lambda db: movement.movement(db, WATCHED, NOW + timedelta(days=1)),
    "a page": lambda db: finding.job_page(db, 50, (), None, None),
    "a page far back": lambda db: finding.job_page(db, 50, (), None, OLD),
    "a page of a status": lambda db: finding.job_page(db, 50, (CANCELLED,), None, None),
    "a page of a status far back": lambda db: finding.job_page(db, 50, (CANCELLED,), None, OLD),
    "a page of a user": lambda db: finding.job_page(db, 50, (), USER, None),
    "a page of a user far back": lambda db: finding.job_page(db, 50, (), USER, OLD),
    "a page of a user and a status": lambda db: finding.job_page(db, 50, (CANCELLED,), USER, None),
    "a page of a user and a status far back": lambda db: finding.job_page(db, 50, (CANCELLED,), CROWD, OLD),
    "a page of a user and a status that there is not": lambda db: finding.job_page(
        db, 50, (JobStatus.FAILED,), CROWD, None
    ),
    "those that are short": lambda db: finding.job_page(db, 50, (JobCondition.SHORT,), None, None),
    "those of a day": lambda db: finding.job_page(db, 50, (), None, None, (), NOW.date() - timedelta(days=1)),
    "all stages": lambda db: reading.stages(db, WATCHED),
    "a key": lambda db: keys.api_key(db, "hash"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_takes_few_steps(db: sqlite3.Connection, name: str) -> None:
    assert steps(db, CALLS[name]) < MOST


@pytest.mark.parametrize(
    "index",
    [
        "quel_production_jobs_member",
        "quel_production_jobs_member_status",
        "quel_production_jobs_short",
        "quel_attach_arrival",
        "quel_attach_waiting",
        "quel_generation_attempts_round",
        "quel_generation_attempts_without_picture",
    ],
)
def test_without_any_one_of_the_indexes_something_takes_more(db: sqlite3.Connection, index: str) -> None:
    db.execute("begin")
    try:
        db.execute(f"drop index {index}")
        assert max(steps(db, call) for call in CALLS.values()) > MOST
    finally:
        db.rollback()
