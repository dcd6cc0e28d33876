"""Whether a job moves, and which providers fail, from the attempts' rows."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from darkroom.domain.images import Outcome
from darkroom.domain.movement import Movement, RecentCalls, Retried
from darkroom.domain.progress import JobStatus
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

# An image that was generated since its last fault waits for nothing but its delivery.
_CALLS = """
select stage_index, ordinal, provider, attempt, outcome, reason, seconds, started_at,
  exists (select 1 from quel_generation_attempts as made where made.job_id = call.job_id
    and made.stage_index = call.stage_index and made.ordinal = call.ordinal and made.outcome = 'generated'
    and made.rowid > call.rowid) as made
from quel_generation_attempts as call
where job_id = ? and run_id = ? and (outcome is null or outcome <> 'generated')
order by stage_index, ordinal, rowid
"""

_RECENT = """
select provider, outcome, reason, seconds, started_at from quel_generation_attempts
where started_at >= ? and outcome is not null
"""


def movement(db: sqlite3.Connection, job_id: UUID, since: datetime) -> Movement | None:
    """Whether a job moves."""
    job = db.execute(_JOB, (stamp(since), str(job_id))).fetchone()
    if job is None:
        return None
    calls = db.execute(_CALLS, (job["job_id"], job["current_run_id"])).fetchall()
    told = [_ended(call) for call in calls if call["outcome"] in (Outcome.MISSED, Outcome.REFUSED)]
    if job["delivered_at"] is not None:
        told.append(datetime.fromisoformat(job["delivered_at"]))
    answered = max(told, default=None)
    moments = [datetime.fromisoformat(job[name]) for name in ("created_at", "updated_at", "opened_at") if job[name]]
    by_image = groupby(calls, key=lambda call: (call["stage_index"], call["ordinal"]))
    retried = (_retried(list(of_it), answered) for _, of_it in by_image)
    running = job["job_status"] == JobStatus.PROCESSING and not job["held"]
    return Movement(
        news_at=max([*moments, *told]),
        opened_at=job["opened_at"],
        delivered=job["delivered"],
        retried=tuple(one for one in retried if one is not None) if running else (),
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
    decided = any(call["outcome"] in (Outcome.MISSED, Outcome.REFUSED) for call in calls)
    if not faults or decided or newest["outcome"] not in (None, Outcome.FAULT) or faults[-1]["made"]:
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
    return datetime.fromisoformat(call["started_at"]) + timedelta(seconds=call["seconds"] or 0)
