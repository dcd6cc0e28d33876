-- What providers did by day, and what housekeeping asks for.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

-- From the beginning of a day (UTC) on; a call counts on the day it began.
create or replace function public.darkroom_statistics(p_since date) returns jsonb
language sql stable security definer set search_path = '' as $$
  with call as (
    select *, (started_at at time zone 'utc')::date as day
    from public.quel_generation_attempts where started_at >= p_since::timestamp at time zone 'utc'
  ), delivered as (
    select call.day, call.provider, count(*) filter (where call.round > 0) as recovered,
      coalesce(-sum(credit.amount), 0) as credits
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
  ), job_days as (
    select (completed_at at time zone 'utc')::date as day,
      count(*) filter (where job_status = 'completed') as completed,
      count(*) filter (where job_status = 'failed') as failed,
      count(*) filter (where job_status = 'cancelled') as cancelled
    from public.quel_production_jobs
    where completed_at >= p_since::timestamp at time zone 'utc' group by 1
  )
  select jsonb_build_object(
    'providers', coalesce((
      select jsonb_agg(jsonb_build_object(
        'day', day, 'provider', provider, 'calls', calls, 'generated', generated, 'missed', missed,
        'refused', refused, 'faults', faults, 'unknown', unknown, 'seconds_p50', p50, 'seconds_p95', p95,
        'top_up_rounds', top_ups, 'recovered_images', coalesce(recovered, 0), 'credits', coalesce(credits, 0)
      ) order by day desc, provider)
      from provider_days left join delivered using (day, provider)), '[]'),
    'jobs', coalesce((
      select jsonb_agg(jsonb_build_object(
        'day', day, 'completed', completed, 'failed', failed, 'cancelled', cancelled) order by day desc)
      from job_days), '[]'))
$$;
create index if not exists quel_generation_attempts_day on public.quel_generation_attempts (started_at);
create index if not exists quel_production_jobs_completed on public.quel_production_jobs (completed_at);

-- Release what is still held of jobs that have ended; gives the jobs that had such a hold.
create or replace function public.darkroom_release_ended_holds() returns jsonb
language sql security definer set search_path = '' as $$
  with released as (
    update public.quel_credit_holds as hold set amount = 0, released_at = clock_timestamp()
    where hold.released_at is null and exists (
      select 1 from public.quel_production_jobs as job
      where job.job_id = hold.job_id and job.job_status in ('completed', 'failed', 'cancelled'))
    returning hold.job_id
  )
  select coalesce(jsonb_agg(job_id), '[]') from released
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261121110000') on conflict do nothing;

notify pgrst, 'reload schema';
