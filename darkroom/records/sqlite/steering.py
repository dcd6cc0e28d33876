"""What is asked of jobs: requests as clients make them, and what of them is carried out."""

import sqlite3
from functools import partial
from uuid import UUID

from darkroom.domain.jobs import Control, JobRow, NumberedRequest, Request
from darkroom.domain.progress import JobStatus
from darkroom.records.broken_rows import readable
from darkroom.records.sqlite import rows
from darkroom.records.sqlite.database import now, stamp
from darkroom.records.sqlite.refreshing import refresh


def take_request(db: sqlite3.Connection, job_id: UUID, request: Request, reason: str | None) -> NumberedRequest:
    """Number a request; it is new when it changes what the row and the requests before it ask for."""
    job = rows.job_row(db, job_id)
    if JobStatus(job["job_status"]).ended:
        return NumberedRequest(number=None, changed=False)
    waiting = [
        row["request"]
        for row in db.execute(
            "select request from quel_job_requests where job_id = ? and applied_at is null order by number",
            (str(job_id),),
        )
    ]
    last = next((asked for asked in reversed(waiting) if asked != Request.CANCEL), None)
    cancelled = bool(job["cancel_requested"]) or Request.CANCEL in waiting
    paused_by_user = last == Request.PAUSE if last else bool(job["paused_by_user"])
    paused = last == Request.PAUSE if last else bool(job["paused"])
    match request:
        case Request.CANCEL:
            changed = not cancelled
        case Request.PAUSE:
            changed = not cancelled and not paused_by_user
        case Request.RESUME:
            changed = not cancelled and paused
    number = db.execute(
        "insert into quel_job_requests (job_id, number, request, reason, requested_at) values (?, "
        "(select coalesce(max(number), 0) + 1 from quel_job_requests where job_id = ?), ?, ?, ?) returning number",
        (str(job_id), str(job_id), request, reason, now()),
    ).fetchone()[0]
    return NumberedRequest(number=number, changed=changed)


def withdraw_request(db: sqlite3.Connection, job_id: UUID, number: int) -> None:
    """Forget a request that could not be sent."""
    db.execute(
        "delete from quel_job_requests where job_id = ? and number = ? and applied_at is null", (str(job_id), number)
    )


def set_control(db: sqlite3.Connection, job_id: UUID, run_id: str, control: Control) -> int | None:
    """Write what was asked; an older version never replaces a newer one. Gives the version that is there then."""
    job = rows.job_row(db, job_id)
    if rows.refuse_run(db, job, run_id) is not None:
        return None
    if control.version <= job["control_version"]:
        return int(job["control_version"])
    paused = control.paused or control.quota_until is not None
    db.execute(
        "update quel_production_jobs set paused = ?, paused_by_user = ?, pause_reason = ?, quota_until = ?, "
        "cancel_requested = ?, cancel_reason = ?, failing = ?, control_version = ?, updated_at = ? where job_id = ?",
        (
            int(paused),
            int(control.paused),
            control.reason if paused else None,
            stamp(control.quota_until) if control.quota_until else None,
            int(control.cancel_requested or rows.is_cancelled_by_row(db, job)),
            control.reason if control.cancel_requested else None,
            int(control.failing),
            control.version,
            now(),
            str(job_id),
        ),
    )
    db.execute(
        "update quel_job_requests set applied_at = ? where job_id = ? and number <= ? and applied_at is null",
        (now(), str(job_id), control.request),
    )
    refresh(db, job_id)
    return control.version


def cancelled_rows(db: sqlite3.Connection, job_id: UUID | None) -> list[JobRow]:
    """Jobs whose row somebody set to cancelled, and whose run has not heard of it."""
    found = db.execute(
        "select job.* from quel_job_runs as run join quel_production_jobs as job on job.current_run_id = run.run_id "
        "where run.closed_at is null and job.job_status in ('cancelled', 'user_cancelled') "
        "and job.cancel_reason is null and (? is null or job.job_id = ?)",
        (rows.text_or_none(job_id), rows.text_or_none(job_id)),
    )
    return list(readable(found, partial(rows.to_job, db)))


def cancel_pending(db: sqlite3.Connection, job_id: UUID, reason: str | None, word: str) -> bool:
    """End a job that no run has opened; a run that comes late is superseded."""
    job = rows.job_row(db, job_id)
    if job["job_status"] != JobStatus.PENDING:
        return False
    moment = now()
    db.execute(
        "update quel_production_jobs set job_status = ?, cancel_requested = 1, cancel_reason = ?, "
        "completed_at = ?, updated_at = ? where job_id = ?",
        (word, reason, moment, moment, str(job_id)),
    )
    if job["production_id"]:
        db.execute(
            "update quel_production_photo set production_status = 'cancelled', updated_at = ? where production_id = ?",
            (moment, job["production_id"]),
        )
    return True
