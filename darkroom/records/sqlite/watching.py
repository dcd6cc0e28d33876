"""Reading for those who watch: one job in one consistent reading."""

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from darkroom.domain.images import Outcome
from darkroom.domain.progress import JobStatus
from darkroom.domain.snapshots import (
    MOST_FRAMES,
    DeliveryMark,
    FrameState,
    JobSnapshot,
    Picture,
    Undelivered,
)
from darkroom.domain.wallets import PaidBy
from darkroom.records.broken_rows import broken, read_of
from darkroom.records.sqlite import rows
from darkroom.records.sqlite.database import stamp
from darkroom.records.sqlite.reading import progress_of

# Not the order document and not the ids, which are long.
_LOOKED_AT = """
select job.job_id, job_type, job_status, job.quel_member_id, total_images, completed_images, failed_images,
  error_message, job.created_at, started_at, completed_at, unit_price, current_run_id, paused, pause_reason,
  cancel_requested, failing, job_name,
  (select sum(delivered_images * coalesce(stage.unit_price, job.unit_price)) from quel_job_stages as stage
    where stage.job_id = job.job_id) as spent,
  (select amount from quel_credit_holds as hold where hold.job_id = job.job_id and released_at is null) as held,
  organization.org_id as org_id, organization.org_name as org_name,
  (select deleted_at from quel_deleted_jobs as gone where gone.job_id = job.job_id) as deleted_at
from quel_production_jobs as job
left join quel_credit_holds as payer using (job_id)
left join quel_organization as organization on organization.org_id = payer.org_id
where job.job_id = ?
"""


def snapshot(db: sqlite3.Connection, job_id: UUID, after: DeliveryMark | None, limit: int) -> JobSnapshot | None:
    """A job as it stands, with what was delivered behind the mark."""
    job = db.execute(_LOOKED_AT, (str(job_id),)).fetchone()
    if job is None:
        return None
    progress = progress_of(db, job, with_ids=False)
    with read_of(job_id):
        return JobSnapshot(
            user_id=job["quel_member_id"] or None,
            name=job["job_name"],
            progress=progress,
            created_at=job["created_at"],
            completed_at=job["completed_at"],
            deleted_at=job["deleted_at"],
            unit_price=job["unit_price"],
            # Each delivered picture is charged once, at the price of its stage: 0 in a job without a user.
            spent=job["spent"] or 0,
            held=job["held"] or 0,
            paid_by=None if job["org_id"] is None else PaidBy(org_id=job["org_id"], name=job["org_name"]),
            pictures=tuple(_pictures(db, job_id, after, limit)),
            undelivered=tuple(_undelivered(db, job)),
        )


# A delivered picture is that of the newest call that was generated for it.
_PICTURES = """
select image.attach_id, image.stage_index, image.ordinal, attach_file_path as path, attach_file_size as size, sha256,
  delivered_at, coalesce(call.round, 0) as round, call.provider, call.model, call.seconds,
  (select unit_price from quel_job_stages as stage
    where stage.job_id = image.job_id and stage.stage_index = image.stage_index) as price
from quel_attach as image left join quel_generation_attempts as call on call.rowid = (
  select max(made.rowid) from quel_generation_attempts as made where made.job_id = image.job_id
  and made.stage_index = image.stage_index and made.ordinal = image.ordinal and made.outcome = 'generated')
where image.job_id = ? and delivered_at is not null and deleted_at is null and (delivered_at, image.attach_id) > (?, ?)
order by delivered_at, image.attach_id limit ?
"""


def _pictures(db: sqlite3.Connection, job_id: UUID, after: DeliveryMark | None, limit: int) -> Iterator[Picture]:
    mark = ("", 0) if after is None else (stamp(after.delivered_at), after.attach_id)
    for row in db.execute(_PICTURES, (str(job_id), *mark, limit)):
        with read_of(job_id, f"picture {row['attach_id']}"):
            yield Picture(**row)


_SMALL_STAGES = "(select stage_index from quel_job_stages where job_id = :job and quantity <= :frames)"

_WITHOUT_PICTURE = f"""
select job_id, stage_index, ordinal, run_id, round, outcome, reason, seconds, started_at
from quel_generation_attempts as call
where job_id = :job and stage_index in {_SMALL_STAGES} and (outcome is null or outcome <> 'generated')
  and not exists (select 1 from quel_attach as image where image.job_id = call.job_id
    and image.stage_index = call.stage_index and image.ordinal = call.ordinal and delivered_at is not null)
order by call.rowid
"""  # noqa: S608 - our own constant

_WAITING = f"""
select stage_index, ordinal, coalesce((
  select round from quel_generation_attempts as call where call.job_id = image.job_id
  and call.stage_index = image.stage_index and call.ordinal = image.ordinal and outcome = 'generated'
  order by call.rowid desc limit 1), 0) as round
from quel_attach as image
where job_id = :job and stage_index in {_SMALL_STAGES} and delivered_at is null
"""  # noqa: S608 - our own constant


def _undelivered(db: sqlite3.Connection, job: sqlite3.Row) -> list[Undelivered]:
    """The last word on each ordinal that was tried: what is decided stands, whatever else was tried beside it."""
    asked = {"job": job["job_id"], "frames": MOST_FRAMES}
    running = rows.status_of(db, job) == JobStatus.PROCESSING
    # Whoever pauses, cancels or fails a job drops what waits for its next try.
    dropped = bool(job["paused"] or job["failing"] or rows.cancel_requested(db, job))
    making: dict[tuple[int, int], Undelivered] = {}
    lost: dict[tuple[int, int], Undelivered] = {}
    for call in db.execute(_WITHOUT_PICTURE, asked):
        key = (call["stage_index"], call["ordinal"])
        if call["outcome"] in (Outcome.MISSED, Outcome.REFUSED):
            lost.setdefault(key, _lost(call))
        elif running and _under_way(job, call, dropped=dropped):
            making[key] = _making(call)
        else:
            making.pop(key, None)
    if running:
        for image in db.execute(_WAITING, asked):
            making[image["stage_index"], image["ordinal"]] = _making(image)
    return [word for _, word in sorted((making | lost).items())]


def _under_way(job: sqlite3.Row, call: sqlite3.Row, *, dropped: bool) -> bool:
    """Whether a picture may still come of this call, or of the next attempt after its transient fault."""
    if call["run_id"] != job["current_run_id"]:
        return False
    return call["outcome"] is None or (call["outcome"] == Outcome.FAULT and not dropped)


def _making(row: sqlite3.Row) -> Undelivered:
    return Undelivered(
        stage_index=row["stage_index"], ordinal=row["ordinal"], state=FrameState.MAKING, round=row["round"]
    )


def _lost(call: sqlite3.Row) -> Undelivered:
    try:
        began = datetime.fromisoformat(call["started_at"])
    except ValueError:
        where = f"stage {call['stage_index']}, image {call['ordinal']}: started_at"
        raise broken(call["job_id"], where, f"must be a time, not '{call['started_at']}'") from None
    return Undelivered(
        stage_index=call["stage_index"],
        ordinal=call["ordinal"],
        state=call["outcome"],
        round=call["round"],
        reason=call["reason"],
        lost_at=began + timedelta(seconds=call["seconds"] or 0),
    )
