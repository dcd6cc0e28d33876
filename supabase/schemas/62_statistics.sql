-- What providers did by day.

-- From the beginning of a day (UTC) on; a call counts on the day it began. What calls cost for whoever knows of it.
create or replace function public.darkroom_statistics(p_since date, p_costs boolean default false) returns jsonb
language sql stable security definer set search_path = '' as $$
  with call as (
    select *, (started_at at time zone 'utc')::date as day
    from public.quel_generation_attempts where started_at >= p_since::timestamp at time zone 'utc'
  ), delivered as (
    select call.day, call.provider, count(*) filter (where call.round > 0) as recovered,
      coalesce(-sum(credit.amount), 0) as credits,
      count(*) as calls, coalesce(sum(call.cost_usd), 0) as usd, count(*) - count(call.cost_usd) as unknown
    from call
    join public.quel_attach as image on image.job_id = call.job_id and image.stage_index = call.stage_index
      and image.ordinal = call.ordinal and image.delivered_at is not null
    left join public.quel_credits as credit
      on credit.idempotency_key = image.job_id || '/' || image.stage_index || '/' || image.ordinal
    where call.outcome = 'generated' and not exists (
      -- A delivered picture is that of the newest call that was generated for it.
      select from public.quel_generation_attempts as later
      where later.job_id = call.job_id and later.stage_index = call.stage_index and later.ordinal = call.ordinal
        and later.outcome = 'generated' and later.attempt_id > call.attempt_id)
    group by call.day, call.provider
  ), provider_days as (
    select day, provider, count(*) as calls,
      count(*) filter (where outcome = 'generated') as generated,
      count(*) filter (where outcome = 'missed') as missed,
      count(*) filter (where outcome = 'refused') as refused,
      count(*) filter (where outcome = 'fault') as faults,
      count(*) - count(outcome) as unknown,
      percentile_disc(0.5) within group (order by seconds) filter (where outcome = 'generated') as p50,
      percentile_disc(0.95) within group (order by seconds) filter (where outcome = 'generated') as p95,
      count(distinct case when round > 0 then run_id || '/' || stage_index || '/' || round end) as top_ups
    from call group by day, provider
  ), asked as (
    select day, provider, coalesce(
        case when outcome in ('missed', 'refused', 'generated') or outcome is null then outcome else 'fault' end,
        'unknown') as cause,
      count(*) as calls, coalesce(sum(cost_usd), 0) as usd, count(*) - count(cost_usd) as unknown
    from call group by 1, 2, 3
  ), share as (
    select day, provider, cause, calls, usd, unknown from asked where cause <> 'generated'
    union all
    select day, provider, 'delivered', calls, usd, unknown from delivered
    union all
    -- Generated, and not delivered.
    select day, provider, 'unused', asked.calls - coalesce(delivered.calls, 0), asked.usd - coalesce(delivered.usd, 0),
      asked.unknown - coalesce(delivered.unknown, 0)
    from asked left join delivered using (day, provider) where cause = 'generated'
  ), spent as (
    select day, provider, jsonb_build_object('costs', jsonb_build_object('by_cause', jsonb_object_agg(
      cause, jsonb_build_object('calls', calls, 'usd', usd::text, 'unknown', unknown)))) as costs
    from share where p_costs and calls > 0 group by day, provider
  ), job_days as (
    select (completed_at at time zone 'utc')::date as day,
      count(*) filter (where job_status = 'completed') as completed,
      count(*) filter (where job_status = 'failed') as failed,
      count(*) filter (where job_status::text in ('cancelled', 'user_cancelled')) as cancelled
    from public.quel_production_jobs
    where completed_at >= p_since::timestamp at time zone 'utc' group by 1
  )
  select jsonb_build_object(
    'providers', coalesce((
      select jsonb_agg(jsonb_build_object(
        'day', day, 'provider', provider, 'calls', calls, 'generated', generated, 'missed', missed,
        'refused', refused, 'faults', faults, 'unknown', unknown, 'seconds_p50', p50, 'seconds_p95', p95,
        'top_up_rounds', top_ups, 'recovered_images', coalesce(recovered, 0), 'credits', coalesce(credits, 0)
      ) || coalesce(costs, '{}') order by day desc, provider)
      from provider_days left join (select day, provider, recovered, credits from delivered) as made using (day, provider)
        left join spent using (day, provider)), '[]'),
    'jobs', coalesce((
      select jsonb_agg(jsonb_build_object(
        'day', day, 'completed', completed, 'failed', failed, 'cancelled', cancelled) order by day desc)
      from job_days), '[]'))
$$;
