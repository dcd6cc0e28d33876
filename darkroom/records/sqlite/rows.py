"""Rows as values, and the few statements that several transactions share."""

import json
import sqlite3
from typing import Any
from uuid import UUID

from darkroom.domain.errors import JobNotFound
from darkroom.domain.formats import ImageSize
from darkroom.domain.jobs import Control, JobRow
from darkroom.domain.orders import Reference, Stage
from darkroom.domain.progress import CANCELLED_WORDS, JobStatus
from darkroom.domain.rounds import StageCounts
from darkroom.records.broken_rows import broken, read_of, read_row

_SHORT_COLUMNS = (
    "job_id, job_type, job_status, quel_member_id, production_id, total_images, unit_price, current_run_id, "
    "paused, cancel_requested, failing, control_version, refreshed_at"
)

_POLLED_COLUMNS = (
    "job_id, job_type, job_status, quel_member_id, production_id, org_id, job_name, total_images, completed_images, "
    "failed_images, error_message, retry_count, priority, created_at, started_at, completed_at, updated_at, "
    "unit_price, current_run_id, paused, pause_reason, cancel_requested, generated_attach_ids"
)


def short_job_row(db: sqlite3.Connection, job_id: UUID) -> sqlite3.Row:
    """The columns that every image needs, without the order document and the list of ids.

    Raises:
        JobNotFound: no such row.
    """
    row: sqlite3.Row | None = db.execute(
        f"select {_SHORT_COLUMNS} from quel_production_jobs where job_id = ?",  # noqa: S608 - our own constant
        (str(job_id),),
    ).fetchone()
    if row is None:
        raise _not_found(job_id)
    return row


def _not_found(job_id: UUID) -> JobNotFound:
    return JobNotFound(f"job {job_id} does not exist; `darkroom list` shows those that do")


def job_or_none(db: sqlite3.Connection, job_id: UUID) -> sqlite3.Row | None:
    """The raw row of a job."""
    row: sqlite3.Row | None = db.execute(
        "select * from quel_production_jobs where job_id = ?", (str(job_id),)
    ).fetchone()
    return row


def job_without_document(db: sqlite3.Connection, job_id: UUID) -> sqlite3.Row | None:
    """What clients poll of a job's row: a document may have 12 MB."""
    row: sqlite3.Row | None = db.execute(
        f"select {_POLLED_COLUMNS} from quel_production_jobs where job_id = ?",  # noqa: S608 - our own constant
        (str(job_id),),
    ).fetchone()
    return row


def job_row(db: sqlite3.Connection, job_id: UUID) -> sqlite3.Row:
    """The raw row of a job.

    Raises:
        JobNotFound: no such row.
    """
    row = job_or_none(db, job_id)
    if row is None:
        raise _not_found(job_id)
    return row


def deleted_at(db: sqlite3.Connection, job_id: str) -> str | None:
    """When a job was deleted."""
    found = db.execute("select deleted_at from quel_deleted_jobs where job_id = ?", (job_id,)).fetchone()
    return None if found is None else str(found[0])


def uuid_or_none(text: str | None) -> UUID | None:
    """A stored id, or None."""
    return UUID(text) if text else None


def text_or_none(value: UUID | None) -> str | None:
    """An id as it is stored."""
    return None if value is None else str(value)


def to_job(db: sqlite3.Connection, row: sqlite3.Row) -> JobRow:
    """A job's row as clients poll it.

    Raises:
        RecordsRefused: somebody broke it.
    """
    values = dict(row)
    values |= {"status": status_of(db, row), "run_id": row["current_run_id"], "user_id": row["quel_member_id"] or None}
    values |= {"production_id": row["production_id"] or None, "org_id": row["org_id"] or None}
    values |= {"name": row["job_name"], "deleted_at": deleted_at(db, row["job_id"])}
    values |= {"paused": bool(row["paused"]), "cancel_requested": cancel_requested(db, row)}
    values["generated_attach_ids"] = json_in(row, "generated_attach_ids")
    return read_row(JobRow, {name: values[name] for name in JobRow.model_fields})


def json_in(row: sqlite3.Row, column: str) -> Any:
    """The JSON of a job's column.

    Raises:
        RecordsRefused: it is none.
    """
    try:
        return json.loads(row[column])
    except (TypeError, ValueError):
        raise broken(row["job_id"], column, "is not valid JSON") from None


def to_control(db: sqlite3.Connection, row: sqlite3.Row) -> Control:
    """What was asked of a job, from its row."""
    return Control(
        version=row["control_version"],
        paused=bool(row["paused_by_user"]),
        quota_until=row["quota_until"],
        reason=row["cancel_reason"] if row["cancel_requested"] else row["pause_reason"],
        cancel_requested=cancel_requested(db, row),
        failing=bool(row["failing"]),
        request=applied_request(db, row["job_id"]),
    )


def applied_request(db: sqlite3.Connection, job_id: str) -> int:
    """The highest number of a request that is contained in what the row says."""
    found = db.execute(
        "select coalesce(max(number), 0) from quel_job_requests where job_id = ? and applied_at is not null", (job_id,)
    ).fetchone()
    return int(found[0])


def to_stage(row: sqlite3.Row) -> Stage:
    """A stored stage.

    Raises:
        RecordsRefused: somebody broke it.
    """
    with read_of(row["job_id"], f"stage {row['stage_index']}"):
        return Stage(
            stage_index=row["stage_index"],
            label=row["label"],
            prompt=row["prompt"],
            quantity=row["quantity"],
            aspect_ratio=row["aspect_ratio"],
            references=tuple(Reference.model_validate(ref) for ref in json_in(row, "reference_images")),
            image_size=row["image_size"] or ImageSize.K1,
            format=row["format"],
        )


def price_of(stage: sqlite3.Row, job_price: int) -> int:
    """Credits of one image of a stage: its own price, else that of the job."""
    return job_price if stage["unit_price"] is None else int(stage["unit_price"])


def stage_rows(db: sqlite3.Connection, job_id: UUID) -> list[sqlite3.Row]:
    """A job's stored stages in order."""
    return db.execute("select * from quel_job_stages where job_id = ? order by stage_index", (str(job_id),)).fetchall()


def stage_counts(db: sqlite3.Connection, job_id: UUID, stage_index: int) -> StageCounts:
    """Delivered images, and ordinals whose last word is a miss or a refusal."""
    key = (str(job_id), stage_index)
    delivered = db.execute(
        "select delivered_images from quel_job_stages where job_id = ? and stage_index = ?", key
    ).fetchone()
    decided = dict(
        db.execute(
            "select outcome, count(distinct ordinal) from quel_generation_attempts as attempt "
            "where job_id = ? and stage_index = ? and outcome in ('missed', 'refused') "
            # Said once more as the index has it, or SQLite walks over every call of the stage.
            "and (outcome is null or outcome <> 'generated') "
            "and not exists (select 1 from quel_attach as image where image.job_id = attempt.job_id "
            "and image.stage_index = attempt.stage_index and image.ordinal = attempt.ordinal "
            "and delivered_at is not null) group by outcome",
            key,
        ).fetchall()
    )
    with read_of(job_id, f"stage {stage_index}"):
        return StageCounts(
            delivered=delivered[0] if delivered else 0,
            missed=decided.get("missed", 0),
            refused=decided.get("refused", 0),
        )


def delivered_ids(db: sqlite3.Connection, job_id: UUID) -> list[int]:
    """What is delivered of a job, ordered by stage, then by ordinal."""
    return [
        row[0]
        for row in db.execute(
            "select attach_id from quel_attach where job_id = ? and delivered_at is not null "
            "order by stage_index, ordinal",
            (str(job_id),),
        )
    ]


def refuse_run(db: sqlite3.Connection, job: sqlite3.Row, run_id: str) -> str | None:
    """Why this run may not change the job; None when it is the job's open run."""
    if job["current_run_id"] != run_id:
        return "another run of the job has taken over"
    # A row that somebody else set to cancelled still settles the calls in progress (spec §4).
    if job["job_status"] not in ("processing", *CANCELLED_WORDS) or not is_open(db, run_id):
        return "the job has ended"
    return None


def is_open(db: sqlite3.Connection, run_id: str | None) -> bool:
    """Whether a run was opened and not closed."""
    run = db.execute("select closed_at from quel_job_runs where run_id = ?", (run_id,)).fetchone()
    return run is not None and run["closed_at"] is None


def is_cancelled_by_row(db: sqlite3.Connection, job: sqlite3.Row) -> bool:
    """Whether somebody else set the row to cancelled: its run is still open."""
    return job["job_status"] in CANCELLED_WORDS and is_open(db, job["current_run_id"])


def cancel_requested(db: sqlite3.Connection, job: sqlite3.Row) -> bool:
    """Whether the job is to be cancelled, by a request or by its row."""
    return bool(job["cancel_requested"]) or is_cancelled_by_row(db, job)


def status_of(db: sqlite3.Connection, job: sqlite3.Row) -> str:
    """The status of a job: one whose row was set to cancelled runs until its calls in progress have ended."""
    if job["job_status"] not in CANCELLED_WORDS:
        return str(job["job_status"])
    return JobStatus.PROCESSING if is_open(db, job["current_run_id"]) else JobStatus.CANCELLED
