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
    row = rows.job_without_document(db, job_id)
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
    return progress_of(db, row, with_ids=row["total_images"] <= MAX_IMAGES_WITH_IDS)


# One statement for all stages, and in it a subquery for each number, so that each is served by an index of its own.
# Without the prompts, which are most of a stage.
_STAGES = """
select stage_index, label, quantity, delivered_images, stage_status, reason,
  (select coalesce(max(round), 0) from quel_generation_attempts as call
    where run_id = :run and call.stage_index = stage.stage_index) as round,
  (select count(*) from quel_generation_attempts as call
    where job_id = :job and call.stage_index = stage.stage_index and run_id = :run and outcome is null) as under_way,
  {missed} as missed, {refused} as refused
from quel_job_stages as stage where job_id = :job order by stage_index
"""
_DECIDED = """
  (select count(distinct ordinal) from quel_generation_attempts as call
    where job_id = :job and call.stage_index = stage.stage_index and outcome = '{outcome}'
    -- Said once more as the index has it, or SQLite walks over every call of the stage.
    and (outcome is null or outcome <> 'generated')
    and not exists (select 1 from quel_attach as image where image.job_id = :job
      and image.stage_index = call.stage_index and image.ordinal = call.ordinal and delivered_at is not null))
"""
_STAGES = _STAGES.format(missed=_DECIDED.format(outcome="missed"), refused=_DECIDED.format(outcome="refused"))


def progress_of(db: sqlite3.Connection, job: sqlite3.Row, *, with_ids: bool) -> Progress:
    """Progress of a row; without ids, the row needs no list of them."""
    ids: dict[int, list[int]] | None = _ids_by_stage(db, job["job_id"]) if with_ids else None
    status = rows.status_of(db, job)
    running = status == JobStatus.PROCESSING
    found = db.execute(_STAGES, {"job": job["job_id"], "run": job["current_run_id"]})
    values = {name: job[name] for name in _PROGRESS}
    values |= {"job_type": job["job_type"] or "", "status": status}
    values["stages"] = tuple(_stage_progress(job, stage, ids, running=running) for stage in found)
    values["generated_attach_ids"] = rows.json_in(job, "generated_attach_ids") if with_ids else None
    values |= {"paused": bool(job["paused"]), "cancel_requested": rows.cancel_requested(db, job)}
    return read_row(Progress, values)


def _ids_by_stage(db: sqlite3.Connection, job_id: str) -> dict[int, list[int]]:
    """What is delivered, by stage, each by ordinal."""
    found: dict[int, list[int]] = {}
    for row in db.execute(
        "select stage_index, attach_id from quel_attach where job_id = ? and delivered_at is not null "
        "order by stage_index, ordinal",
        (job_id,),
    ):
        found.setdefault(row["stage_index"], []).append(row["attach_id"])
    return found


def _stage_progress(
    job: sqlite3.Row, stage: sqlite3.Row, ids: dict[int, list[int]] | None, *, running: bool
) -> StageProgress:
    index = stage["stage_index"]
    with read_of(job["job_id"], f"stage {index}"):
        found = StageProgress(
            stage_index=index,
            label=stage["label"],
            quantity=stage["quantity"],
            completed=stage["delivered_images"],
            in_flight=stage["under_way"] if running else 0,
            round=stage["round"],
            status=stage["stage_status"],
            reason=stage["reason"],
            missed=stage["missed"],
            refused=stage["refused"],
            attach_ids=None if ids is None else tuple(ids.get(index, ())),
        )
    if not running:
        return found
    if found.completed >= found.quantity:
        return found.model_copy(update={"status": StageStatus.COMPLETE})
    if found.status is StageStatus.WAITING and (found.in_flight or found.completed or found.missed or found.refused):
        begun = StageStatus.TOPPING_UP if found.round else StageStatus.DELIVERING
        return found.model_copy(update={"status": begun})
    return found


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
