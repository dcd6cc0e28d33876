-- Whether a job moves, and which providers fail, from the attempts' rows: what a workflow does not see.

-- When something last happened to a job, how many images were delivered since a moment, and which images are retried:
-- their newest call failed, or is the next attempt after one that did, and nothing else came of them.
create or replace function public.darkroom_movement(p_job_id uuid, p_since timestamptz) returns jsonb
language sql stable security definer set search_path = '' as $$
  with job as (
    select job.current_run_id, job.created_at, job.updated_at,
      job.job_status = 'processing' and not (job.paused or job.cancel_requested or job.failing) as running,
      (select opened_at from public.quel_job_runs where run_id = job.current_run_id) as opened_at,
      (select max(delivered_at) from public.quel_attach where job_id = p_job_id and delivered_at is not null)
        as delivered_at
    from public.quel_production_jobs as job
    where job.job_id = p_job_id and public.darkroom_status_of(job.job_status::text, job.current_run_id)
      in ('pending', 'processing', 'completed', 'failed', 'cancelled')
  ), answered as (
    select greatest(job.delivered_at, (
      select max(started_at + make_interval(secs => coalesce(seconds, 0)))
      from public.quel_generation_attempts
      where job_id = p_job_id and run_id = job.current_run_id and outcome in ('missed', 'refused'))) as at
    from job
  ), undecided as materialized (
    -- After a long outage most images are given up, with twenty calls each, which tell no more.
    select call.stage_index, call.ordinal
    from public.quel_generation_attempts as call join job on job.running and call.run_id = job.current_run_id
    where call.job_id = p_job_id and (call.outcome is null or call.outcome <> 'generated')
    group by call.stage_index, call.ordinal
    having bool_or(outcome = 'fault') and not coalesce(bool_or(outcome in ('missed', 'refused')), false)
  ), call as materialized (
    select call.* from job, undecided cross join lateral (
      select made.attempt_id, made.stage_index, made.ordinal, made.provider, made.attempt, made.outcome, made.reason,
        made.started_at + make_interval(secs => coalesce(made.seconds, 0)) as ended_at
      from public.quel_generation_attempts as made
      where made.job_id = p_job_id and made.stage_index = undecided.stage_index and made.ordinal = undecided.ordinal
        and made.run_id = job.current_run_id and (made.outcome is null or made.outcome <> 'generated')
      offset 0  -- image by image: joined as a whole, all calls of the job would be read
    ) as call
  ), image as (
    select call.stage_index, call.ordinal, max(attempt_id) as newest,
      max(attempt_id) filter (where outcome = 'fault') as newest_fault,
      count(*) filter (where outcome = 'fault' and ended_at > coalesce(answered.at, '-infinity')) as faults,
      coalesce(
        min(ended_at) filter (where outcome = 'fault' and ended_at > coalesce(answered.at, '-infinity')),
        min(ended_at) filter (where outcome = 'fault')) as since
    from call, answered
    group by call.stage_index, call.ordinal
  ), retried as (
    select image.stage_index, image.ordinal, newest.provider, newest.attempt, coalesce(fault.reason, '') as reason,
      image.faults, image.since, fault.ended_at as failed_at
    from image join call as newest on newest.attempt_id = image.newest
      join call as fault on fault.attempt_id = image.newest_fault
    where (newest.outcome is null or newest.outcome = 'fault')
      -- One that was generated since its last fault waits for nothing but its delivery.
      and not exists (
        select 1 from public.quel_generation_attempts as made
        where made.job_id = p_job_id and made.stage_index = image.stage_index and made.ordinal = image.ordinal
          and made.outcome = 'generated' and made.attempt_id > image.newest_fault)
  )
  select jsonb_build_object(
    'news_at', coalesce(greatest(job.created_at, job.updated_at, job.opened_at, answered.at), 'epoch'),
    'opened_at', job.opened_at,
    'delivered', (
      select count(*) from public.quel_attach
      where job_id = p_job_id and delivered_at is not null and delivered_at >= p_since),
    'retried', coalesce((select jsonb_agg(to_jsonb(retried) order by stage_index, ordinal) from retried), '[]'))
  from job, answered
$$;

-- By provider, how the calls of all jobs ended that began since a moment: the faults since its last other answer.
create or replace function public.darkroom_recent_calls(p_since timestamptz) returns jsonb
language sql stable security definer set search_path = '' as $$
  with call as (
    select attempt_id, provider, outcome, reason, started_at + make_interval(secs => coalesce(seconds, 0)) as ended_at
    from public.quel_generation_attempts where started_at >= p_since and outcome is not null
  ), answered as (
    select provider, max(ended_at) filter (where outcome <> 'fault') as at from call group by provider
  ), known as (
    select provider, count(call.attempt_id) as faults, min(ended_at) as since,
      (array_agg(reason order by ended_at desc, attempt_id desc))[1] as reason
    from answered left join call using (provider)
    where call.outcome = 'fault' and call.ended_at > coalesce(answered.at, '-infinity')
    group by provider
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'provider', answered.provider, 'faults', coalesce(known.faults, 0), 'since', known.since,
    'reason', known.reason) order by answered.provider), '[]')
  from answered left join known using (provider)
$$;
