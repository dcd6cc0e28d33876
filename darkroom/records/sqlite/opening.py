"""How jobs start: stored as pending, opened by a run."""

import json
import sqlite3
from uuid import UUID

from darkroom.domain import rounds
from darkroom.domain.jobs import NewJob, OpenedRun, StartRun
from darkroom.domain.money import StagePrices, Terms, insufficient
from darkroom.domain.orders import Order
from darkroom.domain.progress import JobStatus
from darkroom.domain.rounds import StagePlan
from darkroom.domain.stored import OrderSource
from darkroom.records.broken_rows import read_row
from darkroom.records.sqlite import rows, wallets
from darkroom.records.sqlite.database import now, stamp
from darkroom.records.sqlite.deleting import why_not_again
from darkroom.records.sqlite.refreshing import refresh
from darkroom.records.sqlite.words import note_words


def create_job(db: sqlite3.Connection, job: NewJob) -> bool:
    """Store a pending job; an id that is there stays as it is."""
    moment = now()
    cursor = db.execute(
        "insert into quel_production_jobs (job_id, job_type, quel_member_id, org_id, production_id, job_input_data, "
        "total_images, priority, webhook_url, job_name, created_at, updated_at) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "on conflict (job_id) do nothing",
        (
            str(job.job_id),
            job.job_type,
            rows.text_or_none(job.user_id),
            rows.text_or_none(job.org_id),
            rows.text_or_none(job.production_id),
            json.dumps(job.document),
            job.total_images,
            job.priority,
            job.webhook_url,
            job.name,
            moment,
            moment,
        ),
    )
    if cursor.rowcount:
        note_words(db, str(job.job_id))
    return cursor.rowcount == 1


def order_source(db: sqlite3.Connection, job_id: UUID) -> OrderSource:
    """The document of a job, and whether it was opened before."""
    row = rows.job_row(db, job_id)
    source = {
        "job_id": job_id,
        "job_type": row["job_type"],
        "user_id": row["quel_member_id"] or None,
        "org_id": row["org_id"] or None,
        "production_id": row["production_id"] or None,
        "document": rows.json_in(row, "job_input_data"),
        "opened": bool(rows.stage_rows(db, job_id)),
    }
    return read_row(OrderSource, source)


def open_run(
    db: sqlite3.Connection, start: StartRun, order: Order | None, terms: Terms, rejection: str | None
) -> OpenedRun:
    """Open a run, or say why not; the same run asked again gets the same answer."""
    job = rows.job_row(db, start.job_id)
    known = db.execute("select * from quel_job_runs where run_id = ?", (start.run_id,)).fetchone()
    if known is not None:
        if known["closed_at"] is not None or job["current_run_id"] != start.run_id:
            return OpenedRun(superseded="this run of the job is closed")
        return _plan(db, start.job_id, known["failure"], terms)
    superseded = _superseded_by(db, job, start)
    if superseded is not None:
        return OpenedRun(superseded=superseded)
    if order is not None and not rows.stage_rows(db, start.job_id):
        _store_order(db, start.job_id, order, terms)
    failure = rejection or _set_hold(db, start.job_id)
    _take_over(db, start, failure)
    refresh(db, start.job_id)
    return _plan(db, start.job_id, failure, terms)


def _superseded_by(db: sqlite3.Connection, job: sqlite3.Row, start: StartRun) -> str | None:
    newer = db.execute(
        "select 1 from quel_job_runs where job_id = ? and started_at > ?",
        (str(start.job_id), stamp(start.started_at)),
    ).fetchone()
    if newer is not None:
        return "a newer run of the job has taken over"
    status = JobStatus(job["job_status"])
    if not status.ended:
        # Darkroom takes a job from `pending` to `processing` with its run; without one, somebody else has begun it.
        others = status is JobStatus.PROCESSING and job["current_run_id"] is None
        return "another worker has begun the job" if others else None
    deleted = why_not_again(db, start.job_id)
    if deleted is not None:
        return deleted
    if not start.restart:
        return f"the job is {status}; only a restart opens it again"
    if status is JobStatus.COMPLETED and job["failed_images"] == 0:
        return "everything is delivered; nothing is left to restart"
    return None


def _store_order(db: sqlite3.Connection, job_id: UUID, order: Order, terms: Terms) -> None:
    prices = terms.prices.of_stages(order)
    kept = StagePrices.of(prices)
    targets = rounds.allot([stage.quantity for stage in order.stages], order.max_credits, prices)
    for stage, target, price in zip(order.stages, targets, kept.stages, strict=True):
        db.execute(
            "insert into quel_job_stages (job_id, stage_index, label, prompt, quantity, target, aspect_ratio, "
            "reference_images, format, image_size, unit_price) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(job_id),
                stage.stage_index,
                stage.label,
                stage.prompt,
                stage.quantity,
                target,
                stage.aspect_ratio,
                json.dumps([ref.model_dump() for ref in stage.references]),
                stage.format,
                stage.image_size,
                price,
            ),
        )
    db.execute(
        "update quel_production_jobs set job_type = ?, quel_member_id = ?, production_id = ?, total_images = ?, "
        "unit_price = ?, max_top_ups = ?, max_credits = ?, provider = ?, priority = ?, book_id = ?, webhook_url = ?, "
        "org_id = ?, job_name = coalesce(job_name, ?) where job_id = ?",
        (
            order.job_type,
            rows.text_or_none(order.user_id),
            rows.text_or_none(order.production_id),
            order.total_images,
            kept.job,
            terms.top_ups(order),
            order.max_credits,
            ",".join(order.providers) or None,
            order.priority,
            rows.text_or_none(order.book_id),
            order.webhook_url,
            rows.text_or_none(order.org_id),
            order.name,
            str(job_id),
        ),
    )
    note_words(db, str(job_id))
    if order.user_id is not None:
        wallets.keep(db, job_id, wallets.Wallet(str(order.user_id), rows.text_or_none(order.org_id)))


def _set_hold(db: sqlite3.Connection, job_id: UUID) -> str | None:
    """Set aside what the missing images cost; gives the reason when whoever pays may not, or has too little."""
    job = rows.job_row(db, job_id)
    wallet, price = wallets.of_job(db, job), job["unit_price"] or 0
    if wallet is None:
        return None
    refusal = wallets.refusal(db, wallet)
    need = sum(
        max(0, stage["target"] - stage["delivered_images"]) * rows.price_of(stage, price)
        for stage in rows.stage_rows(db, job_id)
    )
    available = (wallets.balance(db, wallet) or 0) - wallets.held(db, wallet, besides=job_id)
    covered = refusal is None and need <= available
    db.execute(
        "insert into quel_credit_holds (job_id, quel_member_id, org_id, amount) values (?, ?, ?, ?) "
        "on conflict (job_id) do update set amount = excluded.amount, released_at = null",
        (str(job_id), wallet.user_id, wallet.org_id, need if covered else 0),
    )
    return refusal or (None if covered else insufficient(need, available))


def _take_over(db: sqlite3.Connection, start: StartRun, failure: str | None) -> None:
    moment, job_id = now(), str(start.job_id)
    db.execute("update quel_job_runs set closed_at = ? where job_id = ? and closed_at is null", (moment, job_id))
    db.execute(
        "insert into quel_job_runs (run_id, job_id, started_at, opened_at, failure) values (?, ?, ?, ?, ?)",
        (start.run_id, job_id, stamp(start.started_at), moment, failure),
    )
    db.execute(
        "update quel_production_jobs set job_status = 'processing', current_run_id = ?, error_message = null, "
        "failed_images = 0, completed_at = null, started_at = coalesce(started_at, ?), updated_at = ?, "
        "retry_count = retry_count + ?, control_version = 0, failing = 0 where job_id = ?",
        (start.run_id, moment, moment, int(start.restart), job_id),
    )
    db.execute("update quel_job_stages set stage_status = 'waiting', reason = null where job_id = ?", (job_id,))
    if start.restart:
        # A restart is a new request; a run that only takes over after a crash keeps the pause it finds.
        db.execute(
            "update quel_production_jobs set paused = 0, paused_by_user = 0, pause_reason = null, "
            "quota_until = null, cancel_requested = 0, cancel_reason = null where job_id = ?",
            (job_id,),
        )
        db.execute(
            "update quel_job_requests set applied_at = ? where job_id = ? and applied_at is null", (moment, job_id)
        )


def _plan(db: sqlite3.Connection, job_id: UUID, failure: str | None, terms: Terms) -> OpenedRun:
    job = rows.job_row(db, job_id)
    return OpenedRun(
        failure=failure,
        job_type=job["job_type"] or "",
        user_id=rows.uuid_or_none(job["quel_member_id"]),
        total_images=job["total_images"],
        stages=tuple(
            StagePlan(
                stage_index=stage["stage_index"],
                label=stage["label"],
                quantity=stage["quantity"],
                target=stage["target"],
                counts=rows.stage_counts(db, job_id, stage["stage_index"]),
            )
            for stage in rows.stage_rows(db, job_id)
        ),
        max_top_ups=job["max_top_ups"] or 0,
        # The providers the order names, for good; else those that are configured when the run opens.
        providers=tuple(job["provider"].split(",")) if job["provider"] else terms.providers,
        control=rows.to_control(db, job),
        started_at=job["started_at"],
        webhook=job["webhook_url"] is not None,
    )


def keep_webhook(db: sqlite3.Connection, job_id: UUID, url: str) -> None:
    """Keep the webhook URL, unless an order was stored, which has its own."""
    db.execute(
        "update quel_production_jobs set webhook_url = ? where job_id = ? "
        "and not exists (select 1 from quel_job_stages as stage where stage.job_id = quel_production_jobs.job_id)",
        (url, str(job_id)),
    )
