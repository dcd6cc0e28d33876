"""What providers did by day: counted where the rows are."""

import sqlite3
from datetime import date

from darkroom.domain.statistics import JobsDay, ProviderDay, Statistics

_PROVIDERS = """
with call as (
  select *, substr(started_at, 1, 10) as day,
    case when outcome = 'generated' and seconds is not null then cume_dist() over (
      partition by substr(started_at, 1, 10), provider, outcome, seconds is null order by seconds) end as share
  from quel_generation_attempts where started_at >= :since
), made as (
  -- A delivered picture is that of the newest call that was generated for it.
  select job_id, stage_index, ordinal, call_id, max(rowid) from quel_generation_attempts
  where outcome = 'generated' group by job_id, stage_index, ordinal
), delivered as (
  select call.day, call.provider, count(*) filter (where call.round > 0) as recovered,
    coalesce(-sum(credit.amount), 0) as credits
  from call join made using (call_id)
  join quel_attach as image on image.job_id = call.job_id and image.stage_index = call.stage_index
    and image.ordinal = call.ordinal and image.delivered_at is not null
  left join quel_credits as credit on credit.attach_idx = image.attach_id and credit.job_id = image.job_id
  group by call.day, call.provider
)
select call.day, call.provider, count(*) as calls,
  count(*) filter (where outcome = 'generated') as generated,
  count(*) filter (where outcome = 'missed') as missed,
  count(*) filter (where outcome = 'refused') as refused,
  count(*) filter (where outcome = 'fault') as faults,
  count(*) - count(outcome) as unknown,
  min(case when share >= 0.5 then seconds end) as seconds_p50,
  min(case when share >= 0.95 then seconds end) as seconds_p95,
  count(distinct case when round > 0 then run_id || '/' || stage_index || '/' || round end) as top_up_rounds,
  coalesce(max(recovered), 0) as recovered_images, coalesce(max(credits), 0) as credits
from call left join delivered on delivered.day = call.day and delivered.provider = call.provider
group by call.day, call.provider order by call.day desc, call.provider
"""

_JOBS = """
select substr(completed_at, 1, 10) as day,
  count(*) filter (where job_status = 'completed') as completed,
  count(*) filter (where job_status = 'failed') as failed,
  count(*) filter (where job_status = 'cancelled') as cancelled
from quel_production_jobs where completed_at >= :since group by 1 order by 1 desc
"""


def statistics(db: sqlite3.Connection, since: date) -> Statistics:
    """What happened from the beginning of a day on."""
    values = {"since": since.isoformat()}
    return Statistics(
        providers=tuple(ProviderDay(**row) for row in db.execute(_PROVIDERS, values)),
        jobs=tuple(JobsDay(**row) for row in db.execute(_JOBS, values)),
    )
