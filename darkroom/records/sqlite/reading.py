"""What clients read: rows, progress, receipts, delivered pictures."""

import sqlite3
from functools import partial
from uuid import UUID

from darkroom.domain.errors import JobNotFound
from darkroom.domain.jobs import JobRow
from darkroom.domain.orders import Stage
from darkroom.domain.progress import CANCELLED_WORDS, JobStatus, Progress, StageProgress, words_of
from darkroom.domain.receipts import Receipt
from darkroom.domain.rounds import MAX_IMAGES_WITH_IDS, StageStatus
from darkroom.domain.stored import DeliveredImage
from darkroom.domain.webhooks import Ending
from darkroom.records.broken_rows import read_of, read_row, readable
from darkroom.records.sqlite import rows


def job(db: sqlite3.Connection, job_id: UUID) -> JobRow | None:
    """The job's row as clients poll it."""
    row = rows.job_or_none(db, job_id)
    return None if row is None else rows.to_job(db, row)


def jobs(db: sqlite3.Connection, status: JobStatus | None, limit: int) -> list[JobRow]:
    """Jobs, newest first."""
    words = () if status is None else words_of(status)
    found = db.execute(
        f"select * from quel_production_jobs where ? or job_status in ({', '.join('?' * len(words))}) "  # noqa: S608
        "order by created_at desc limit ?",
        (status is None, *words, limit),
    )
    return list(readable(found, partial(rows.to_job, db)))


def jobs_beginning(db: sqlite3.Connection, prefix: str, limit: int) -> list[JobRow]:
    """Jobs whose id begins like this; a range, so that the primary key's index finds them."""
    found = db.execute(
        "select * from quel_production_jobs where job_id >= ? and job_id < ? limit ?",
        (prefix, prefix + "~", limit),
    )
    return list(readable(found, partial(rows.to_job, db)))


def unfinished_jobs(db: sqlite3.Connection, *, processing: bool) -> list[JobRow]:
    """Jobs that are pending, or pending and processing, oldest first."""
    found = db.execute(
        "select * from quel_production_jobs where job_status in ('pending', ?) order by created_at",
        ("processing" if processing else "pending",),
    )
    return list(readable(found, partial(rows.to_job, db)))


def stage(db: sqlite3.Connection, job_id: UUID, stage_index: int) -> Stage:
    """One stored stage.

    Raises:
        JobNotFound: no such stage.
    """
    row = db.execute(
        "select * from quel_job_stages where job_id = ? and stage_index = ?", (str(job_id), stage_index)
    ).fetchone()
    if row is None:
        raise JobNotFound(f"job {job_id} has no stage {stage_index}")
    return rows.to_stage(row)


def stages(db: sqlite3.Connection, job_id: UUID) -> list[Stage]:
    """All stored stages in order."""
    return [rows.to_stage(row) for row in rows.stage_rows(db, job_id)]


def delivered_pairs(
    db: sqlite3.Connection, job_id: UUID, stage_index: int, after: int, limit: int
) -> list[tuple[int, int]]:
    """Delivered `(ordinal, attach_id)` above an ordinal, ascending."""
    return [
        (row["ordinal"], row["attach_id"])
        for row in db.execute(
            "select ordinal, attach_id from quel_attach where job_id = ? and stage_index = ? and ordinal > ? "
            "and delivered_at is not null order by ordinal limit ?",
            (str(job_id), stage_index, after, limit),
        )
    ]


def receipt(db: sqlite3.Connection, job_id: UUID) -> Receipt | None:
    """The receipt of the last closed run."""
    row = db.execute(
        "select receipt from quel_job_runs where job_id = ? and receipt is not null order by started_at desc limit 1",
        (str(job_id),),
    ).fetchone()
    return None if row is None else _receipt_in(job_id, row)


def _receipt_in(job_id: UUID, run: sqlite3.Row) -> Receipt:
    with read_of(job_id, "receipt"):
        return Receipt.model_validate_json(run["receipt"])


def ending(db: sqlite3.Connection, job_id: UUID, run_id: str | None) -> Ending | None:
    """How a closed run ended; without a run, how a job ended that was cancelled before any opened it."""
    job = db.execute(
        "select job_type, job_status, quel_member_id, production_id, total_images, completed_at, current_run_id, "
        "webhook_url from quel_production_jobs where job_id = ?",
        (str(job_id),),
    ).fetchone()
    if job is None:
        return None
    if run_id is None:
        if job["job_status"] not in CANCELLED_WORDS or job["current_run_id"] is not None:
            return None
        ended_at = job["completed_at"]
        account = Receipt(
            job_id=job_id,
            job_type=job["job_type"] or "",
            status=JobStatus.CANCELLED,
            ordered=job["total_images"],
            delivered=0,
        )
    else:
        run = db.execute(
            "select closed_at, receipt from quel_job_runs where run_id = ? and job_id = ? and receipt is not null",
            (run_id, str(job_id)),
        ).fetchone()
        if run is None:
            return None
        ended_at, account = run["closed_at"], _receipt_in(job_id, run)
    ending = {
        "job_id": job_id,
        "run_id": run_id,
        "user_id": job["quel_member_id"] or None,
        "production_id": job["production_id"] or None,
        "webhook_url": job["webhook_url"],
        "ended_at": ended_at,
        "receipt": account,
    }
    return read_row(Ending, ending)


_PROGRESS = (
    "job_id", "pause_reason", "total_images", "completed_images", "failed_images", "started_at", "error_message"
)  # fmt: skip


def progress(db: sqlite3.Connection, job_id: UUID) -> Progress | None:
    """Progress as the records know it: calls without an outcome count as in flight while the job runs."""
    row = rows.job_or_none(db, job_id)
    if row is None:
        return None
    with_ids = row["total_images"] <= MAX_IMAGES_WITH_IDS
    found = progress_of(db, row, with_ids=with_ids)
    if not with_ids:
        return found
    known = found.model_dump(exclude_unset=True) | {"generated_attach_ids": rows.json_in(row, "generated_attach_ids")}
    return read_row(Progress, known)


def progress_of(db: sqlite3.Connection, job: sqlite3.Row, *, with_ids: bool) -> Progress:
    """Progress of a row; the job's own list of ids is left to those who read it."""
    job_id = UUID(job["job_id"])
    stages = tuple(_stage_progress(db, job, stage, with_ids) for stage in rows.stage_rows(db, job_id))
    values = {name: job[name] for name in _PROGRESS}
    values |= {"job_type": job["job_type"] or "", "status": rows.status_of(db, job), "stages": stages}
    values["generated_attach_ids"] = None
    values |= {"paused": bool(job["paused"]), "cancel_requested": rows.cancel_requested(db, job)}
    return read_row(Progress, values)


def _stage_progress(db: sqlite3.Connection, job: sqlite3.Row, stage: sqlite3.Row, with_ids: bool) -> StageProgress:
    job_id, index = UUID(job["job_id"]), stage["stage_index"]
    counts = rows.stage_counts(db, job_id, index)
    run = job["current_run_id"]
    # Two statements, each served by an index of its own: together they would walk over every call of the stage.
    (round_,) = db.execute(
        "select coalesce(max(round), 0) from quel_generation_attempts where run_id = ? and stage_index = ?",
        (run, index),
    ).fetchone()
    (under_way,) = db.execute(
        "select count(*) from quel_generation_attempts "
        "where job_id = ? and stage_index = ? and run_id = ? and outcome is null",
        (str(job_id), index, run),
    ).fetchone()
    running = rows.status_of(db, job) == JobStatus.PROCESSING
    ids: list[int] = []
    if with_ids:
        ids = [attach_id for _, attach_id in delivered_pairs(db, job_id, index, -1, MAX_IMAGES_WITH_IDS)]
    with read_of(job_id, f"stage {index}"):
        found = StageProgress(
            stage_index=index,
            label=stage["label"],
            quantity=stage["quantity"],
            completed=counts.delivered,
            in_flight=under_way if running else 0,
            round=round_,
            status=stage["stage_status"],
            reason=stage["reason"],
            missed=counts.missed,
            refused=counts.refused,
            attach_ids=tuple(ids) if with_ids else None,
        )
    status = found.status
    if running and counts.delivered >= found.quantity:
        status = StageStatus.COMPLETE
    elif running and status is StageStatus.WAITING and (under_way or counts != type(counts)()):
        status = StageStatus.TOPPING_UP if round_ else StageStatus.DELIVERING
    return found.model_copy(update={"status": status})


def delivered_images(db: sqlite3.Connection, job_id: UUID | None, after: int, limit: int) -> list[DeliveredImage]:
    """Delivered images by attach_id, of one job or of all."""
    if job_id is not None and rows.job_or_none(db, job_id) is None:
        raise JobNotFound(f"job {job_id} does not exist; `darkroom list` shows those that do")
    # Two statements: "or" would make SQLite walk over every attachment there is.
    of_job = "" if job_id is None else "job_id = ? and "
    statement = (
        f"select * from quel_attach where {of_job}attach_id > ? and delivered_at is not null and deleted_at is null "  # noqa: S608 - ours
        "order by attach_id limit ?"
    )
    values = (after, limit) if job_id is None else (str(job_id), after, limit)
    return [
        DeliveredImage(
            attach_id=row["attach_id"],
            job_id=row["job_id"],
            stage_index=row["stage_index"],
            ordinal=row["ordinal"],
            path=row["attach_file_path"],
            size=row["attach_file_size"],
            sha256=row["sha256"],
            delivered_at=row["delivered_at"],
        )
        for row in db.execute(statement, values)
    ]
