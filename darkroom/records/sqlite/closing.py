"""A run ends: final row, production row, release of the hold, receipt (spec §§2, 4)."""

import json
import sqlite3
from datetime import datetime
from uuid import UUID

from darkroom.domain.errors import RunRefused
from darkroom.domain.jobs import CloseRun, End
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import (
    MadeBy,
    Receipt,
    StageMissing,
    Tally,
    nothing_delivered,
    room_of_each,
    shorten,
)
from darkroom.domain.rounds import StageStatus
from darkroom.records.sqlite import rows, wallets
from darkroom.records.sqlite.costs import costs_of_job
from darkroom.records.sqlite.database import now, stamp
from darkroom.records.sqlite.refreshing import refresh

ENDED_CANCELLED = (
    "(job_status in ('cancelled', 'user_cancelled') and not exists (select 1 from quel_job_runs as run "
    "where run.run_id = current_run_id and run.closed_at is null))"
)
"""What a row says of a job that is cancelled and over: somebody else may set it while the run is open."""


def close_run(db: sqlite3.Connection, close: CloseRun, cancelled: str) -> Receipt:
    """End the job under this run; closed before, it gives the same receipt again.

    Args:
        db: the records.
        close: how.
        cancelled: the word for a cancelled job; what somebody else wrote on its row stays.
    """
    run = db.execute("select * from quel_job_runs where run_id = ?", (close.run_id,)).fetchone()
    if run is not None and run["receipt"]:
        return Receipt.model_validate_json(run["receipt"])
    job = rows.job_row(db, close.job_id)
    refusal = rows.refuse_run(db, job, close.run_id)
    if refusal is not None:
        raise RunRefused(f"job {close.job_id} cannot be closed: {refusal}")
    ids = refresh(db, close.job_id)
    total = job["total_images"]
    by_row = rows.is_cancelled_by_row(db, job)
    status = JobStatus.CANCELLED if by_row else _status(close, len(ids))
    for end in close.stages:
        db.execute(
            "update quel_job_stages set stage_status = ?, reason = ? where job_id = ? and stage_index = ?",
            (end.status, end.reason, str(close.job_id), end.stage_index),
        )
    missing = _missing(db, close.job_id, close.error_message)
    error_message = close.error_message
    if status is JobStatus.FAILED and not error_message:
        error_message = nothing_delivered(missing)
    wallet = wallets.of_job(db, job)
    released = _release_hold(db, close.job_id)
    moment = now()
    db.execute(
        "update quel_job_runs set closed_at = ?, released = ? where run_id = ?",
        (moment, released, close.run_id),
    )
    db.execute(
        "update quel_production_jobs set job_status = ?, failed_images = ?, error_message = ?, completed_at = ?, "
        "updated_at = ?, paused = 0, paused_by_user = 0, quota_until = null, pause_reason = null where job_id = ?",
        (
            job["job_status"] if by_row else cancelled if status is JobStatus.CANCELLED else status,
            0 if status is JobStatus.CANCELLED else total - len(ids),
            error_message,
            moment,
            moment,
            str(close.job_id),
        ),
    )
    _update_production(db, job["production_id"], status, ids)
    receipt = Receipt(
        job_id=close.job_id,
        job_type=job["job_type"] or "",
        status=status,
        org_id=None if wallet is None else rows.uuid_or_none(wallet.org_id),
        ordered=total,
        delivered=len(ids),
        missing=missing,
        unit_price=job["unit_price"] or 0,
        prices=_prices(db, job),
        error_message=shorten(error_message) if error_message else None,
        total=_tally(db, close.job_id, None),
        last_run=_tally(db, close.job_id, close.run_id),
    )
    db.execute("update quel_job_runs set receipt = ? where run_id = ?", (receipt.model_dump_json(), close.run_id))
    return receipt


def _prices(db: sqlite3.Connection, job: sqlite3.Row) -> tuple[int, ...] | None:
    """What its pictures cost, where that is not the same for all."""
    stages = rows.stage_rows(db, UUID(job["job_id"]))
    prices = sorted({rows.price_of(stage, job["unit_price"] or 0) for stage in stages})
    return tuple(prices) if len(prices) > 1 else None


def _status(close: CloseRun, delivered: int) -> JobStatus:
    match close.end:
        case End.CANCELLED:
            return JobStatus.CANCELLED
        case End.FAILED:
            return JobStatus.FAILED
        case End.DELIVERED:
            return JobStatus.COMPLETED if delivered else JobStatus.FAILED


def _missing(db: sqlite3.Connection, job_id: UUID, error_message: str | None) -> tuple[StageMissing, ...]:
    short = [stage for stage in rows.stage_rows(db, job_id) if stage["quantity"] > stage["delivered_images"]]
    found = []
    for stage in short:
        cancelled = stage["stage_status"] == StageStatus.CANCELLED
        reason = stage["reason"] or error_message or ("cancelled" if cancelled else "not delivered")
        found.append(
            StageMissing(
                stage_index=stage["stage_index"],
                missing=stage["quantity"] - stage["delivered_images"],
                reason=shorten(reason, most_bytes=room_of_each(len(short))),
            )
        )
    return tuple(found)


def _release_hold(db: sqlite3.Connection, job_id: UUID) -> int:
    hold = db.execute(
        "select amount from quel_credit_holds where job_id = ? and released_at is null", (str(job_id),)
    ).fetchone()
    if hold is None:
        return 0
    db.execute("update quel_credit_holds set amount = 0, released_at = ? where job_id = ?", (now(), str(job_id)))
    return int(hold["amount"])


def _update_production(db: sqlite3.Connection, production_id: str | None, status: JobStatus, ids: list[int]) -> None:
    if production_id is None:
        return
    row = db.execute(
        "select attach_ids from quel_production_photo where production_id = ?", (production_id,)
    ).fetchone()
    if row is None:
        return
    there = json.loads(row["attach_ids"] or "[]")
    known = set(there)
    new = [attach_id for attach_id in ids if attach_id not in known]
    db.execute(
        "update quel_production_photo set attach_ids = ?, generated_image_count = generated_image_count + ?, "
        "production_status = ?, updated_at = ? where production_id = ?",
        (json.dumps(there + new), len(new), status, now(), production_id),
    )


def _tally(db: sqlite3.Connection, job_id: UUID, run_id: str | None) -> Tally:
    """What was done and charged for the job, or for one run of it."""
    job = {"job": str(job_id), "run": run_id}
    attempts = db.execute(
        "select count(*) as calls, count(*) - count(outcome) as unknown, "
        "count(*) filter (where outcome = 'missed') as misses, "
        "count(*) filter (where outcome = 'refused') as refusals, "
        "count(*) filter (where outcome = 'fault') as faults, "
        "count(distinct case when round > 0 then run_id || '/' || stage_index || '/' || round end) as top_ups "
        "from quel_generation_attempts where job_id = :job and (:run is null or run_id = :run)",
        job,
    ).fetchone()
    # By its key, which has an index: by its attachment, every picture would be held against every charge of the job.
    delivered, charged = db.execute(
        "select count(*), coalesce(-sum(credit.amount), 0) from quel_attach as image left join quel_credits as credit "
        "on credit.idempotency_key = image.job_id || '/' || image.stage_index || '/' || image.ordinal "
        "where image.job_id = :job and image.delivered_at is not null "
        "and (:run is null or image.delivered_run = :run)",
        job,
    ).fetchone()
    released, seconds = db.execute(
        "select coalesce(sum(released), 0), coalesce(sum((julianday(coalesce(closed_at, opened_at)) "
        "- julianday(opened_at)) * 86400.0), 0) from quel_job_runs "
        "where job_id = :job and (:run is null or run_id = :run)",
        job,
    ).fetchone()
    return Tally(
        delivered=delivered,
        charged=charged,
        released=released,
        provider_calls=attempts["calls"],
        unknown_calls=attempts["unknown"],
        misses=attempts["misses"],
        refusals=attempts["refusals"],
        faults=attempts["faults"],
        top_up_rounds=attempts["top_ups"],
        seconds=round(seconds, 3),
        made_by=tuple(MadeBy(**row) for row in db.execute(_MADE_BY, job)),
        costs=costs_of_job(db, str(job_id), run_id),
    )


# A delivered picture is that of the newest call that was generated for it.
_MADE_BY = """
with made as (
  select stage_index, ordinal, provider, max(rowid) from quel_generation_attempts
  where job_id = :job and outcome = 'generated' group by stage_index, ordinal
)
select call.provider as provider, count(*) as calls, (
  select count(*) from quel_attach as image join made using (stage_index, ordinal)
  where image.job_id = :job and image.delivered_at is not null and made.provider = call.provider
    and (:run is null or image.delivered_run = :run)) as delivered
from quel_generation_attempts as call where call.job_id = :job and (:run is null or call.run_id = :run)
group by call.provider order by call.provider
"""


def may_remove_leftovers(db: sqlite3.Connection, job_id: UUID, run_id: str, failed_before: datetime | None) -> bool:
    """Whether this run ended the job, and nothing of it waits for a restart any more."""
    found = db.execute(
        "select 1 from quel_production_jobs where job_id = ? and current_run_id = ? and "  # noqa: S608 - our own
        f"(job_status = 'completed' or {ENDED_CANCELLED} or (job_status = 'failed' and completed_at < ?))",
        (str(job_id), run_id, stamp(failed_before) if failed_before else None),
    ).fetchone()
    return found is not None


def drop_undelivered(db: sqlite3.Connection, job_id: UUID, run_id: str, failed_before: datetime | None) -> None:
    """Delete the attachments of an ended job's images that were never delivered."""
    if may_remove_leftovers(db, job_id, run_id, failed_before):
        db.execute("delete from quel_attach where job_id = ? and delivered_at is null", (str(job_id),))


def release_ended_holds(db: sqlite3.Connection) -> list[UUID]:
    """Release what is still held of ended jobs; whose it was."""
    released = db.execute(
        "update quel_credit_holds set amount = 0, released_at = ? "  # noqa: S608 - our own
        "where released_at is null and job_id in "
        f"(select job_id from quel_production_jobs where job_status in ('completed', 'failed') or {ENDED_CANCELLED}) "
        "returning job_id",
        (now(),),
    ).fetchall()
    return [UUID(row["job_id"]) for row in released]
