"""Settling an image: it counts and is charged for (spec §4)."""

import sqlite3
from datetime import datetime, timedelta
from uuid import UUID

from darkroom.domain.images import ImageKey, Settlement
from darkroom.domain.money import SettledImage, Transaction
from darkroom.records.sqlite import rows, wallets
from darkroom.records.sqlite.database import now, stamp
from darkroom.records.sqlite.images import STAGE_IS_FULL, attachment, stage_of
from darkroom.records.sqlite.refreshing import refresh_if_due


def settle(db: sqlite3.Connection, key: ImageKey, run_id: str) -> SettledImage:
    """Make an image count and charge for it: all of it or nothing, and once (spec §4)."""
    job = rows.short_job_row(db, key.job_id)
    return shown(db, job, [settle_image(db, job, key, run_id)])[0]


def shown(db: sqlite3.Connection, job: sqlite3.Row, settled: list[SettledImage]) -> list[SettledImage]:
    """What was settled just now, with whether the job's row shows it."""
    if not any(image.row_trails for image in settled) or not refresh_if_due(db, job):
        return settled
    return [image.model_copy(update={"row_trails": False}) for image in settled]


def settle_image(db: sqlite3.Connection, job: sqlite3.Row, key: ImageKey, run_id: str) -> SettledImage:
    """`settle`, for an image of this job; its row does not show it yet."""
    image = attachment(db, key)
    if image is not None and image["delivered_at"] is not None:
        return SettledImage(settlement=Settlement.SETTLED, attach_id=image["attach_id"], call_ids=_calls(db, key))
    refusal = rows.refuse_run(db, job, run_id)
    if refusal is None and image is None:
        refusal = f"image {key} has no attachment"
    if refusal is not None or image is None:
        return SettledImage(settlement=Settlement.RUN_REFUSED, reason=refusal)
    stage = stage_of(db, key)
    # The target, not the quantity: a stage's part of `max_credits` is never taken by another stage.
    if stage is None or stage["delivered_images"] >= stage["target"]:
        return SettledImage(settlement=Settlement.STAGE_FULL, reason=STAGE_IS_FULL)
    wallet = wallets.of_job(db, job)
    if wallet is not None:
        shortfall = _charge(db, job, wallet, key, image["attach_id"], rows.price_of(stage, job["unit_price"]))
        if shortfall is not None:
            return SettledImage(settlement=Settlement.INSUFFICIENT, reason=shortfall)
    db.execute(
        "update quel_attach set delivered_at = ?, delivered_run = ? where attach_id = ?",
        (_next_moment(db, key.job_id), run_id, image["attach_id"]),
    )
    db.execute(
        "update quel_job_stages set delivered_images = delivered_images + 1 where job_id = ? and stage_index = ?",
        (str(key.job_id), key.stage_index),
    )
    return SettledImage(
        settlement=Settlement.SETTLED, attach_id=image["attach_id"], call_ids=_calls(db, key), row_trails=True
    )


def _next_moment(db: sqlite3.Connection, job_id: UUID) -> str:
    """The time, or what follows the job's last delivery when the clock was set back: who watches goes by this order."""
    last = db.execute(
        "select max(delivered_at) from quel_attach where job_id = ? and delivered_at is not null", (str(job_id),)
    ).fetchone()[0]
    moment = now()
    if last is None or moment > last:
        return moment
    return stamp(datetime.fromisoformat(last) + timedelta(microseconds=1))


def _charge(  # noqa: PLR0917 - one change of a wallet, with all that its journal row says
    db: sqlite3.Connection, job: sqlite3.Row, wallet: wallets.Wallet, key: ImageKey, attach_id: int, price: int
) -> str | None:
    """Take the price from balance and hold; gives the reason when whoever pays may not, or has too little."""
    refusal = wallets.refusal(db, wallet) if wallet.org_id is not None else None
    if refusal is not None:
        return refusal
    balance = wallets.balance(db, wallet) or 0
    hold = db.execute(
        "select amount from quel_credit_holds where job_id = ? and released_at is null", (str(key.job_id),)
    ).fetchone()
    if balance < price:
        return f"insufficient credits: need {price}, balance {balance}"
    if hold is None or hold["amount"] < price:
        return f"insufficient credits: need {price}, the job's hold has {hold['amount'] if hold else 0} left"
    charge = wallets.Change(
        kind=Transaction.DEDUCT,
        amount=-price,
        idempotency_key=str(key),
        attach_id=attach_id,
        production_id=job["production_id"],
        job_id=str(key.job_id),
        used_by=None if wallet.org_id is None else wallet.user_id,
    )
    wallets.change(db, wallet, charge)
    db.execute("update quel_credit_holds set amount = amount - ? where job_id = ?", (price, str(key.job_id)))
    return None


def _calls(db: sqlite3.Connection, key: ImageKey) -> tuple[UUID, ...]:
    found = db.execute(
        "select call_id from quel_generation_attempts where job_id = ? and stage_index = ? and ordinal = ?",
        (str(key.job_id), key.stage_index, key.ordinal),
    )
    return tuple(UUID(row["call_id"]) for row in found)
