"""One image's way through the records: attempt, attachment, settlement."""

import sqlite3
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from darkroom.domain import rounds
from darkroom.domain.attempts import (
    GIVEN_UP,
    MOST_UNKNOWN_CALLS,
    WORKERS_DIED,
    Attempt,
    AttemptEnd,
    Begin,
    BegunAttempt,
)
from darkroom.domain.formats import media_type_of
from darkroom.domain.images import AttachInput, AttachResult, ImageKey, Outcome
from darkroom.records.sqlite import rows
from darkroom.records.sqlite.ceilings import reached_ceiling
from darkroom.records.sqlite.database import now, stamp

T = TypeVar("T")

STAGE_IS_FULL = "the stage has all it may deliver already"


def next_ordinals(db: sqlite3.Connection, job_id: UUID, stage_index: int, limit: int) -> list[int]:
    """The ordinals to make next (the rule is in `domain.rounds`), never more than the stage still lacks."""
    key = (str(job_id), stage_index)
    lacking = db.execute(
        "select target - delivered_images from quel_job_stages where job_id = ? and stage_index = ?", key
    ).fetchone()
    limit = min(limit, lacking[0] if lacking else 0)
    highest = db.execute(
        "select max(ordinal) from quel_generation_attempts where job_id = ? and stage_index = ?", key
    ).fetchone()[0]
    decided = {
        row[0]
        for row in db.execute(
            "select ordinal from quel_generation_attempts where job_id = ? and stage_index = ? "
            "and outcome in ('missed', 'refused') union "
            "select ordinal from quel_attach where job_id = ? and stage_index = ? and delivered_at is not null",
            key + key,
        )
    }
    return rounds.next_ordinals(highest, decided, limit)


def begin_attempt(db: sqlite3.Connection, attempt: Attempt, *, looked: bool) -> BegunAttempt:
    """Answer what is delivered or decided, refuse, say where to look, or write the attempt's row."""
    key = (str(attempt.key.job_id), attempt.key.stage_index, attempt.key.ordinal)
    delivered = attachment(db, attempt.key)
    if delivered is not None and delivered["delivered_at"] is not None:
        return BegunAttempt(begin=Begin.DELIVERED, attach_id=delivered["attach_id"])
    job = rows.short_job_row(db, attempt.key.job_id)
    refusal = rows.refuse_run(db, job, attempt.run_id)
    if refusal is not None:
        return BegunAttempt(begin=Begin.HELD, reason=refusal, final=True)
    cancelled = rows.cancel_requested(db, job)
    states = {"being cancelled": cancelled, "about to fail": job["failing"], "paused": job["paused"]}
    for state, holds in states.items():
        if holds:
            return BegunAttempt(begin=Begin.HELD, reason=f"the job is {state}")
    stage = stage_of(db, attempt.key)
    if stage is not None and stage["delivered_images"] >= stage["target"]:
        return BegunAttempt(begin=Begin.FULL, reason=STAGE_IS_FULL)
    price = 0 if stage is None else rows.price_of(stage, job["unit_price"] or 0)
    held_up = _known_calls(db, attempt, looked=looked) or reached_ceiling(db, attempt, job["quel_member_id"], price)
    if held_up is not None:
        return held_up
    db.execute(
        "insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, "
        "model, attempt, worker, quel_member_id, credits, started_at) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (call_id) do nothing",
        (
            str(attempt.call_id),
            *key,
            attempt.run_id,
            attempt.round,
            attempt.provider,
            attempt.model,
            attempt.attempt,
            attempt.worker,
            job["quel_member_id"],
            price,
            now(),
        ),
    )
    return BegunAttempt(begin=Begin.BEGUN, call_id=attempt.call_id)


def _known_calls(db: sqlite3.Connection, attempt: Attempt, *, looked: bool) -> BegunAttempt | None:
    """What the earlier calls of an image say, if that keeps another one from beginning."""
    earlier = db.execute(
        "select * from quel_generation_attempts where job_id = ? and stage_index = ? and ordinal = ? "
        "order by started_at desc, rowid desc",
        (str(attempt.key.job_id), attempt.key.stage_index, attempt.key.ordinal),
    ).fetchall()
    if attempt.taken_at is not None:
        taken = stamp(attempt.taken_at)
        if any(row["attempt"] > attempt.attempt and row["started_at"] > taken for row in earlier):
            return BegunAttempt(begin=Begin.HELD, reason=GIVEN_UP)
    for row in earlier:
        if row["outcome"] in (Outcome.MISSED, Outcome.REFUSED):
            return BegunAttempt(
                begin=Begin.DECIDED, outcome=row["outcome"], reason=row["reason"], final=bool(row["final"])
            )
    may_be_staged = [row["call_id"] for row in earlier if row["outcome"] in (None, Outcome.GENERATED)]
    if may_be_staged and not looked:
        return BegunAttempt(begin=Begin.LOOK, call_id=may_be_staged[0], call_ids=tuple(may_be_staged))
    unknown = [row["call_id"] for row in earlier if row["outcome"] is None]
    if len(unknown) >= MOST_UNKNOWN_CALLS:
        end = AttemptEnd(outcome=Outcome.MISSED, reason=WORKERS_DIED, seconds=0)
        # The oldest: the bytes of the newest may still come, from a worker that was stopped with them.
        finish_attempt(db, UUID(unknown[-1]), end)
        return BegunAttempt(begin=Begin.DECIDED, outcome=end.outcome, reason=end.reason)
    return None


def finish_attempt(db: sqlite3.Connection, call_id: UUID, end: AttemptEnd) -> None:
    """Write how a call ended, once."""
    db.execute(
        "update quel_generation_attempts set outcome = ?, reason = ?, final = ?, seconds = ?, cost_usd = ? "
        "where call_id = ? and outcome is null",
        (end.outcome, end.reason, int(end.final), end.seconds, dollars(end.cost_usd), str(call_id)),
    )


def attach(db: sqlite3.Connection, image: AttachInput) -> AttachResult:
    """Insert the attachment or find it; the attempt that made it is now `generated`."""
    return attach_image(db, rows.short_job_row(db, image.key.job_id), image)


def attach_image(db: sqlite3.Connection, job: sqlite3.Row, image: AttachInput) -> AttachResult:
    """`attach`, for an image of this job."""
    known = attachment(db, image.key)
    attach_id: int | None = None if known is None else known["attach_id"]
    if known is None or known["delivered_at"] is None:
        refusal = rows.refuse_run(db, job, image.run_id)
        if refusal is not None:
            return AttachResult(attach_id=None, reason=refusal)
        source = _source(db, image.call_id)
        attach_id = db.execute(
            "insert into quel_attach (attach_original_name, attach_file_name, attach_file_path, "
            "attach_file_size, attach_file_type, attach_directory, attach_storage_type, job_id, stage_index, "
            "ordinal, quel_member_id, sha256, source_sha256, source_media_type, source_c2pa, source_provider, "
            "source_model, created_at) "
            "values (?, ?, ?, ?, ?, ?, 'darkroom', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "on conflict (job_id, stage_index, ordinal) where job_id is not null do update set "
            "attach_original_name = excluded.attach_original_name, attach_file_name = excluded.attach_file_name, "
            "attach_file_path = excluded.attach_file_path, attach_directory = excluded.attach_directory, "
            "attach_file_size = excluded.attach_file_size, attach_file_type = excluded.attach_file_type, "
            "sha256 = excluded.sha256, "
            "source_sha256 = excluded.source_sha256, source_media_type = excluded.source_media_type, "
            "source_c2pa = excluded.source_c2pa, source_provider = excluded.source_provider, "
            "source_model = excluded.source_model returning attach_id",
            (
                image.name,
                image.name,
                image.path,
                image.size,
                media_type_of(image.path),
                image.directory,
                str(image.key.job_id),
                image.key.stage_index,
                image.key.ordinal,
                job["quel_member_id"],
                image.sha256,
                *source,
                now(),
            ),
        ).fetchone()["attach_id"]
    if image.call_id is not None:
        db.execute(
            "update quel_generation_attempts set outcome = 'generated', seconds = coalesce(?, seconds), cost_usd = ? "
            "where call_id = ? and outcome is null",
            (image.seconds, dollars(image.cost_usd), str(image.call_id)),
        )
    return AttachResult(attach_id=attach_id)


def dollars(cost: Decimal | None) -> float | None:
    """An amount as it is kept."""
    return None if cost is None else float(cost)


def _source(db: sqlite3.Connection, call_id: UUID | None) -> tuple[object, ...]:
    """What the call brought, and who drew it."""
    found = db.execute(
        "select source_sha256, source_media_type, source_c2pa, provider, model from quel_generation_attempts "
        "where call_id = ?",
        (None if call_id is None else str(call_id),),
    ).fetchone()
    return (None,) * 5 if found is None else tuple(found)


def stage_of(db: sqlite3.Connection, key: ImageKey) -> sqlite3.Row | None:
    """How much the stage of an image has, and may have, and its price."""
    row: sqlite3.Row | None = db.execute(
        "select target, delivered_images, unit_price from quel_job_stages where job_id = ? and stage_index = ?",
        (str(key.job_id), key.stage_index),
    ).fetchone()
    return row


def attachment(db: sqlite3.Connection, key: ImageKey) -> sqlite3.Row | None:
    """What is attached for an image, delivered or not."""
    row: sqlite3.Row | None = db.execute(
        "select attach_id, delivered_at from quel_attach where job_id = ? and stage_index = ? and ordinal = ?",
        (str(key.job_id), key.stage_index, key.ordinal),
    ).fetchone()
    return row
