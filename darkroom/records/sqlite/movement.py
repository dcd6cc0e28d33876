"""Whether a job moves, and which providers fail, from the attempts' rows."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from darkroom.domain.images import Outcome
from darkroom.domain.movement import Movement, RecentCalls, Retried
from darkroom.domain.progress import JobStatus
from darkroom.records.broken_rows import broken
from darkroom.records.sqlite.database import stamp

_JOB = """
select job_id, current_run_id, job_status, paused or cancel_requested or failing as held, created_at, updated_at,
  (select opened_at from quel_job_runs where run_id = job.current_run_id) as opened_at,
  (select max(delivered_at) from quel_attach as image
   where image.job_id = job.job_id and delivered_at is not null) as delivered_at,
  (select count(*) from quel_attach as image
   where image.job_id = job.job_id and delivered_at is not null and delivered_at >= ?) as delivered
from quel_production_jobs as job where job_id = ?
"""

# The row with the greatest value, as SQLite gives it beside a lone max().
_LAST_WITHOUT = """
select job_id, stage_index, ordinal, started_at, seconds, max(julianday(started_at) + coalesce(seconds, 0) / 86400.0)
from quel_generation_attempts where job_id = :job and run_id = :run and outcome in ('missed', 'refused')
  -- Said once more as the index has it, or SQLite walks over every call of the job.
  and (outcome is null or outcome <> 'generated')
"""

# Of images that are neither missed nor refused: after a long outage thousands are, with twenty calls each. One that was
# generated since its last fault waits for nothing but its delivery.
_CALLS = """
with undecided as materialized (
  select stage_index, ordinal from quel_generation_attempts
  where job_id = :job and run_id = :run and (outcome is null or outcome <> 'generated')
  group by stage_index, ordinal having not max(coalesce(outcome, '') in ('missed', 'refused'))
)
select job_id, call.stage_index, call.ordinal, provider, attempt, outcome, reason, seconds, started_at,
  exists (select 1 from quel_generation_attempts as made where made.job_id = call.job_id
    and made.stage_index = call.stage_index and made.ordinal = call.ordinal and made.outcome = 'generated'
    and made.rowid > call.rowid) as made
from undecided cross join quel_generation_attempts as call using (stage_index, ordinal)
where job_id = :job and run_id = :run and (outcome is null or outcome <> 'generated')
order by call.stage_index, call.ordinal, call.rowid
"""

_RECENT = """
select job_id, stage_index, ordinal, provider, outcome, reason, seconds, started_at from quel_generation_attempts
where started_at >= ? and outcome is not null
"""


def movement(db: sqlite3.Connection, job_id: UUID, since: datetime) -> Movement | None:
    """Whether a job moves."""
    job = db.execute(_JOB, (stamp(since), str(job_id))).fetchone()
    if job is None:
        return None
    of_run = {"job": job["job_id"], "run": job["current_run_id"]}
    last = db.execute(_LAST_WITHOUT, of_run).fetchone()
    told = [] if last["job_id"] is None else [_ended(last)]
    if job["delivered_at"] is not None:
        told.append(_moment(job, "delivered_at"))
    answered = max(told, default=None)
    moments = [_moment(job, name) for name in ("created_at", "updated_at", "opened_at") if job[name]]
    running = job["job_status"] == JobStatus.PROCESSING and not job["held"]
    calls = db.execute(_CALLS, of_run).fetchall() if running else []
    by_image = groupby(calls, key=lambda call: (call["stage_index"], call["ordinal"]))
    retried = (_retried(list(of_it), answered) for _, of_it in by_image)
    return Movement(
        news_at=max([*moments, *told]),
        opened_at=_moment(job, "opened_at") if job["opened_at"] else None,
        delivered=job["delivered"],
        retried=tuple(one for one in retried if one is not None),
    )


def recent_calls(db: sqlite3.Connection, since: datetime) -> list[RecentCalls]:
    """How calls ended lately, by provider."""
    rows = sorted(db.execute(_RECENT, (stamp(since),)), key=lambda call: (call["provider"], _ended(call)))
    return [_recent(provider, list(calls)) for provider, calls in groupby(rows, key=lambda call: str(call["provider"]))]


def _recent(provider: str, calls: list[sqlite3.Row]) -> RecentCalls:
    others = [number for number, call in enumerate(calls) if call["outcome"] != Outcome.FAULT]
    faults = calls[others[-1] + 1 :] if others else calls
    return RecentCalls(
        provider=provider,
        faults=len(faults),
        reason=faults[-1]["reason"] if faults else None,
        since=_ended(faults[0]) if faults else None,
    )


def _retried(calls: list[sqlite3.Row], answered: datetime | None) -> Retried | None:
    """An image by its calls without a picture, the newest last; None unless it is being retried."""
    newest = calls[-1]
    faults = [call for call in calls if call["outcome"] == Outcome.FAULT]
    if not faults or newest["outcome"] not in (None, Outcome.FAULT) or faults[-1]["made"]:
        return None
    of_now = [call for call in faults if answered is None or _ended(call) > answered]
    return Retried(
        stage_index=newest["stage_index"],
        ordinal=newest["ordinal"],
        provider=newest["provider"],
        attempt=newest["attempt"],
        reason=faults[-1]["reason"] or "",
        faults=len(of_now),
        since=_first(of_now or faults),
        failed_at=_ended(faults[-1]),
    )


def _first(calls: Iterable[sqlite3.Row]) -> datetime:
    return min(_ended(call) for call in calls)


def _ended(call: sqlite3.Row) -> datetime:
    where = f"stage {call['stage_index']}, image {call['ordinal']}: "
    return _moment(call, "started_at", where) + timedelta(seconds=call["seconds"] or 0)


def _moment(row: sqlite3.Row, column: str, where: str = "") -> datetime:
    try:
        return datetime.fromisoformat(row[column])
    except (TypeError, ValueError):
        raise broken(row["job_id"], f"{where}{column}", f"must be a time, not '{row[column]}'") from None
