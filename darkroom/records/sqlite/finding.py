"""Finding jobs: pages of them, newest first, by state, user, day and words."""

import sqlite3
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, time
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from darkroom.domain.finding import JobCondition, JobState, may_begin_an_id
from darkroom.domain.jobs import JobRow
from darkroom.domain.progress import words_of
from darkroom.domain.snapshots import JobCursor, JobSummary
from darkroom.records.broken_rows import read_row, readable
from darkroom.records.sqlite import rows
from darkroom.records.sqlite.database import stamp

FIRST_IDS = 6
TITLE = 200

# Of the list of ids only its beginning, which holds the first six however long their numbers are.
_SUMMARY = f"""
select job_id, job_type, job_status, current_run_id, paused, cancel_requested, total_images, completed_images,
  failed_images, error_message, created_at, started_at, completed_at, job_name as name,
  substr(generated_attach_ids, 1, 150) as beginning_of_ids,
  (select substr(prompt, 1, {TITLE}) from quel_job_stages as stage where stage.job_id = job.job_id
   order by stage_index limit 1) as title
from quel_production_jobs as job
"""  # noqa: S608 - our own constants

_CONDITIONS = {
    JobCondition.RUNNING: "paused = 0",
    JobCondition.PAUSED: "paused = 1",
    JobCondition.SHORT: "failed_images > 0",
}


class _Asked(NamedTuple):
    """A condition, and its values."""

    condition: str
    values: tuple[object, ...] = ()


def job_page(  # noqa: PLR0917 - what a list may be asked for
    db: sqlite3.Connection,
    limit: int,
    statuses: Collection[JobState],
    user_id: UUID | None,
    before: JobCursor | None,
    words: Sequence[str] = (),
    day: date | None = None,
) -> list[JobSummary]:
    """A page of jobs, newest first. Only the conditions that are asked for, so that an index serves each choice."""
    asked = _asked_of_rows(user_id, words, day)
    if before is not None:
        asked.append(_Asked("(created_at, job_id) < (?, ?)", (stamp(before.created_at), str(before.job_id))))
    return list(readable(_newest(db, _SUMMARY, statuses, asked, limit), partial(_summary, db)))


def found_jobs(
    db: sqlite3.Connection, limit: int, statuses: Collection[JobState], words: Sequence[str], day: date | None
) -> list[JobRow]:
    """The same as whole rows, of all users."""
    asked = _asked_of_rows(None, words, day)
    found = _newest(db, "select * from quel_production_jobs as job", statuses, asked, limit)
    return list(readable(found, partial(rows.to_job, db)))


def _asked_of_rows(user_id: UUID | None, words: Sequence[str], day: date | None) -> list[_Asked]:
    asked = [_Asked("not exists (select 1 from quel_deleted_jobs as gone where gone.job_id = job.job_id)")]
    if user_id is not None:
        asked.append(_Asked("quel_member_id = ?", (str(user_id),)))
    if day is not None:
        first, last = datetime.combine(day, time(), UTC), datetime.combine(day, time.max, UTC)
        asked.append(_Asked("created_at between ? and ?", (stamp(first), stamp(last))))
    if words:
        asked.append(_saying(words))
    return asked


def _saying(words: Sequence[str]) -> _Asked:
    """Read once for the whole list: a job at a time would be a look-up for each job that is passed over."""
    each = [
        _Asked("(instr(words, ?) or job_id >= ? and job_id < ?)", (word, word, f"{word}~"))
        if may_begin_an_id(word)
        else _Asked("instr(words, ?)", (word,))
        for word in words
    ]
    condition = " and ".join(one.condition for one in each)
    values = tuple(value for one in each for value in one.values)
    return _Asked(f"job_id in (select job_id from quel_job_words where {condition})", values)  # noqa: S608 - our own


def _newest(
    db: sqlite3.Connection, select: str, statuses: Collection[JobState], asked: list[_Asked], limit: int
) -> list[sqlite3.Row]:
    if not statuses:
        return _page(db, select, asked, limit)
    # Each by itself: an index has the jobs of one of them in order.
    pages = [_page(db, select, [*narrower, *asked], limit) for narrower in _narrowed(statuses)]
    found = {row["job_id"]: row for row in chain(*pages)}
    return sorted(found.values(), key=itemgetter("created_at", "job_id"), reverse=True)[:limit]


def _narrowed(statuses: Collection[JobState]) -> list[list[_Asked]]:
    narrowed = []
    for state in statuses:
        more = [_Asked(_CONDITIONS[state])] if isinstance(state, JobCondition) else []
        status = state.status if isinstance(state, JobCondition) else state
        narrowed += [[_Asked("job_status = ?", (word,)), *more] for word in words_of(status)]
    return narrowed


def _page(db: sqlite3.Connection, select: str, asked: list[_Asked], limit: int) -> list[sqlite3.Row]:
    where = " and ".join(one.condition for one in asked) or "true"
    return db.execute(
        f"{select} where {where} order by created_at desc, job_id desc limit ?",
        (*(value for one in asked for value in one.values), limit),
    ).fetchall()


def _summary(db: sqlite3.Connection, row: sqlite3.Row) -> JobSummary:
    ids = row["beginning_of_ids"].strip("[]").split(",")[:FIRST_IDS]
    values = dict(row) | {"first_attach_ids": [one.strip() for one in ids if one.strip()]}
    values |= {"status": rows.status_of(db, row), "paused": bool(row["paused"])}
    values["cancel_requested"] = rows.cancel_requested(db, row)
    return read_row(JobSummary, {name: values[name] for name in JobSummary.model_fields})
