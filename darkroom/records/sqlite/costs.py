"""What provider calls cost, by what became of them.

Dollars are kept as SQLite's floating-point numbers: 15 digits, of which nine behind the point are read.
"""

import sqlite3
from collections.abc import Iterable

from darkroom.domain.costs import CostRow, Costs, of_rows

CAUSE = """case
  when call.outcome is null then 'unknown'
  when call.outcome in ('missed', 'refused') then call.outcome
  when call.outcome <> 'generated' then 'fault'
  -- A delivered picture is that of the newest call that was generated for it.
  when exists (
    select 1 from quel_attach as image where image.job_id = call.job_id and image.stage_index = call.stage_index
    and image.ordinal = call.ordinal and image.delivered_at is not null) and not exists (
    select 1 from quel_generation_attempts as later where later.job_id = call.job_id
    and later.stage_index = call.stage_index and later.ordinal = call.ordinal
    and later.outcome = 'generated' and later.rowid > call.rowid) then 'delivered'
  else 'unused' end"""
"""What became of a `call`."""

SUMS = "count(*) as calls, sum(call.cost_usd) as usd, count(*) - count(call.cost_usd) as unknown"
"""What calls of one cause cost."""


def costs_in(rows: Iterable[sqlite3.Row]) -> Costs:
    """The costs of rows with a cause and the sums above."""
    return of_rows(CostRow(row["cause"], row["calls"], row["usd"], row["unknown"]) for row in rows)


def costs_of_job(db: sqlite3.Connection, job_id: str, run_id: str | None) -> Costs:
    """What the calls of a job cost, or those of one run of it."""
    return costs_in(
        db.execute(
            f"select {CAUSE} as cause, {SUMS} from quel_generation_attempts as call "  # noqa: S608 - our own
            "where call.job_id = :job and (:run is null or call.run_id = :run) group by 1",
            {"job": job_id, "run": run_id},
        )
    )
