"""What providers did by day: counted where the rows are."""

import sqlite3
from datetime import date
from itertools import groupby
from operator import itemgetter

from darkroom.domain.statistics import JobsDay, ProviderDay, Statistics
from darkroom.records.sqlite.costs import CAUSE, SUMS, costs_in

_PROVIDERS = """
with counted as (
  select substr(started_at, 1, 10) as day, provider, count(*) as calls,
    count(*) filter (where outcome = 'generated') as generated,
    count(*) filter (where outcome = 'missed') as missed,
    count(*) filter (where outcome = 'refused') as refused,
    count(*) filter (where outcome = 'fault') as faults,
    count(*) - count(outcome) as unknown,
    count(distinct case when round > 0 then run_id || '/' || stage_index || '/' || round end) as top_up_rounds
  from quel_generation_attempts where started_at >= :since group by 1, 2
), timed as materialized (
  select day, provider, seconds, row_number() over (partition by day, provider order by seconds) as place
  from (
    select substr(started_at, 1, 10) as day, provider, seconds from quel_generation_attempts
    where outcome = 'generated' and seconds is not null and started_at >= :since)
), slowest as (
  select day, provider, max(place) as number from timed group by day, provider
), speed as (
  select day, provider, min(case when place >= 0.5 * number then seconds end) as seconds_p50,
    min(case when place >= 0.95 * number then seconds end) as seconds_p95
  from timed join slowest using (day, provider) group by day, provider
), delivered as (
  select substr(call.started_at, 1, 10) as day, call.provider, count(*) filter (where call.round > 0) as recovered,
    coalesce(-sum(credit.amount), 0) as credits
  from quel_generation_attempts as call
  join quel_attach as image on image.job_id = call.job_id and image.stage_index = call.stage_index
    and image.ordinal = call.ordinal and image.delivered_at is not null
  -- By its key, which has an index: by its attachment, every picture would be held against all charges of its job.
  left join quel_credits as credit
    on credit.idempotency_key = image.job_id || '/' || image.stage_index || '/' || image.ordinal
  where call.outcome = 'generated' and call.started_at >= :since and not exists (
    -- A delivered picture is that of the newest call that was generated for it.
    select 1 from quel_generation_attempts as later where later.job_id = call.job_id
    and later.stage_index = call.stage_index and later.ordinal = call.ordinal
    and later.outcome = 'generated' and later.rowid > call.rowid)
  group by 1, 2
)
select counted.*, seconds_p50, seconds_p95, coalesce(recovered, 0) as recovered_images, coalesce(credits, 0) as credits
from counted left join speed using (day, provider) left join delivered using (day, provider)
order by day desc, provider
"""

_COSTS = f"""
select substr(call.started_at, 1, 10) as day, call.provider as provider, {CAUSE} as cause, {SUMS}
from quel_generation_attempts as call where call.started_at >= :since group by 1, 2, 3 order by 1, 2
"""  # noqa: S608 - our own

_JOBS = """
select substr(completed_at, 1, 10) as day,
  count(*) filter (where job_status = 'completed') as completed,
  count(*) filter (where job_status = 'failed') as failed,
  count(*) filter (where job_status in ('cancelled', 'user_cancelled')) as cancelled
from quel_production_jobs where completed_at >= :since group by 1 order by 1 desc
"""


def statistics(db: sqlite3.Connection, since: date) -> Statistics:
    """What happened from the beginning of a day on."""
    values = {"since": since.isoformat()}
    costs = {
        day: costs_in(rows) for day, rows in groupby(db.execute(_COSTS, values), key=itemgetter("day", "provider"))
    }
    return Statistics(
        providers=tuple(
            ProviderDay(**row, costs=costs[row["day"], row["provider"]]) for row in db.execute(_PROVIDERS, values)
        ),
        jobs=tuple(JobsDay(**row) for row in db.execute(_JOBS, values)),
    )
