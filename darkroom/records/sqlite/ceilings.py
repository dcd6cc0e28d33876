"""Daily ceilings: asked in the transaction that writes a call's row, so that all workers together keep them.

A row counts from the moment it is written: at what its call cost, or at a price by setting while nobody knows that.
"""

import sqlite3
from datetime import UTC, datetime
from typing import NamedTuple

from darkroom.domain.attempts import Attempt, Begin, BegunAttempt
from darkroom.domain.ceilings import Ceiling, Spent, day_of
from darkroom.domain.images import ImageKey
from darkroom.records.sqlite.database import stamp

_LEAST = 1e-9
"""Dollars: sums of floating-point numbers differ by less."""


class _Counted(NamedTuple):
    """What counts today."""

    all: float
    ended: float
    """Without the calls in progress, which may turn out to count for less."""


def reached_ceiling(db: sqlite3.Connection, attempt: Attempt, user: str | None, price: int) -> BegunAttempt | None:
    """The answer to a call that a ceiling does not allow; None for one that may begin.

    Args:
        db: the records.
        attempt: the call.
        user: whose job it is.
        price: credits of its picture.
    """
    ceilings = attempt.ceilings
    if ceilings is None:
        return None
    now = datetime.now(UTC)
    since = stamp(day_of(now)[0])
    if ceilings.provider_usd is not None:
        call, most = float(ceilings.call_usd), float(ceilings.provider_usd) + _LEAST
        counted = _cost(db, attempt.provider, call, since)
        if counted.all + call > most:
            return _spent(Ceiling.PROVIDER, now, may_free=counted.ended + call <= most)
    if ceilings.user_credits is not None and user is not None and price:
        counted = _credits(db, attempt.key, user, since)
        if counted.all + price > ceilings.user_credits:
            return _spent(Ceiling.USER, now, may_free=counted.ended + price <= ceilings.user_credits)
    return None


def _spent(ceiling: Ceiling, now: datetime, *, may_free: bool) -> BegunAttempt:
    return BegunAttempt(begin=Begin.SPENT, spent=Spent.at(ceiling, now, may_free=may_free))


def _cost(db: sqlite3.Connection, provider: str, call: float, since: str) -> _Counted:
    """US dollars of a provider's calls."""
    found = db.execute(
        "select coalesce(sum(coalesce(cost_usd, :call)), 0), "
        "coalesce(sum(coalesce(cost_usd, :call)) filter (where outcome is not null), 0) "
        "from quel_generation_attempts where provider = :provider and started_at >= :since",
        {"call": call, "provider": provider, "since": since},
    ).fetchone()
    return _Counted(*found)


def _credits(db: sqlite3.Connection, key: ImageKey, user: str, since: str) -> _Counted:
    """Credits of a user's other pictures that were begun and may be delivered, each counted once."""
    found = db.execute(
        "select coalesce(sum(credits), 0), coalesce(sum(credits) filter (where ended), 0) "
        "from (select max(credits) as credits, max(outcome is not null) as ended from quel_generation_attempts "
        "where quel_member_id = :user and started_at >= :since and (outcome is null or outcome = 'generated') "
        "and (job_id, stage_index, ordinal) <> (:job, :stage, :ordinal) group by job_id, stage_index, ordinal)",
        {"user": user, "since": since, "job": str(key.job_id), "stage": key.stage_index, "ordinal": key.ordinal},
    ).fetchone()
    return _Counted(*found)
