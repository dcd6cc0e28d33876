-- Which worker made a call is known, so that the end of a stage waits for the calls that may still bring a picture.
-- What clients ask of a job is numbered, so that the last word holds in whatever order it arrives.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

alter table public.quel_generation_attempts add column if not exists worker text;

create table if not exists public.quel_job_requests (
  job_id uuid not null references public.quel_production_jobs (job_id) on delete cascade,
  number integer not null,
  request text not null check (request in ('cancel', 'pause', 'resume')),
  reason text,
  requested_at timestamptz not null,
  applied_at timestamptz,
  primary key (job_id, number)
);
alter table public.quel_job_requests enable row level security;
revoke all on public.quel_job_requests from public, anon, authenticated;
grant all on public.quel_job_requests to service_role;

-- Without p_worker it goes, or a call with its arguments could mean either; earlier workers call the new one.
drop function if exists public.darkroom_begin_attempt(
  uuid, integer, integer, text, uuid, integer, text, integer, boolean, text, boolean);

-- Answer what is delivered or decided, refuse, say where to look, or write the attempt's row before the call.
create or replace function public.darkroom_begin_attempt(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_round integer, p_provider text, p_attempt integer, p_looked boolean,
  p_model text default null, p_calls boolean default false, p_worker text default null,
  p_taken_at timestamptz default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_attach_id integer;
  v_job record;
  v_refusal text;
  v_decided record;
  v_waiting uuid[];
  v_unknown uuid[];
  v_reason text;
begin
  select attach_id into v_attach_id from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and delivered_at is not null;
  if found then
    return jsonb_build_object('begin', 'delivered', 'attach_id', v_attach_id);
  end if;
  -- Shared with other attempts, not with whoever writes a pause or a cancel: that one waits for us, or we see it.
  select job_status, current_run_id, cancel_requested, failing, paused into v_job
  from public.quel_production_jobs where job_id = p_job_id for share;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  if v_refusal is not null then
    return jsonb_build_object('begin', 'held', 'reason', v_refusal, 'final', true);
  end if;
  if v_job.cancel_requested or v_job.failing or v_job.paused then
    return jsonb_build_object('begin', 'held', 'reason', 'the job is ' || case
      when v_job.cancel_requested then 'being cancelled'
      when v_job.failing then 'about to fail'
      else 'paused' end);
  end if;
  perform 1 from public.quel_job_stages
  where job_id = p_job_id and stage_index = p_stage_index and delivered_images >= target;
  if found and p_calls then
    return jsonb_build_object('begin', 'full', 'reason', 'the stage has all it may deliver already');
  end if;
  -- A worker that stood still holds tries that Temporal has given up; another one may have begun since.
  perform 1 from public.quel_generation_attempts
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal
    and attempt > p_attempt and started_at > p_taken_at;
  if found then
    return jsonb_build_object('begin', 'held', 'reason', 'a later try of this image has begun');
  end if;
  select outcome, reason, final into v_decided from public.quel_generation_attempts
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal
    and outcome in ('missed', 'refused')
  order by attempt_id desc limit 1;
  if found then
    return jsonb_build_object(
      'begin', 'decided', 'outcome', v_decided.outcome, 'reason', v_decided.reason, 'final', v_decided.final);
  end if;
  select array_agg(call_id order by attempt_id desc),
    array_agg(call_id order by attempt_id desc) filter (where outcome is null) into v_waiting, v_unknown
  from public.quel_generation_attempts
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal
    and (outcome is null or outcome = 'generated');
  if v_waiting is not null and not p_looked then
    return jsonb_build_object('begin', 'look', 'call_id', v_waiting[1])
      || case when p_calls then jsonb_build_object('call_ids', to_jsonb(v_waiting)) else '{}' end;
  end if;
  -- A picture that takes its worker down each time is asked for three times, and no more.
  if cardinality(v_unknown) >= 3 then
    v_reason := '3 calls ended without an outcome: their workers died';
    -- The oldest: the bytes of the newest may still come, from a worker that was stopped with them.
    perform public.darkroom_finish_attempt(v_unknown[cardinality(v_unknown)], 'missed', v_reason, false, 0);
    return jsonb_build_object('begin', 'decided', 'outcome', 'missed', 'reason', v_reason, 'final', false);
  end if;
  insert into public.quel_generation_attempts (
    call_id, job_id, stage_index, ordinal, run_id, round, provider, model, attempt, worker, started_at)
  values (
    p_call_id, p_job_id, p_stage_index, p_ordinal, p_run_id, p_round, p_provider, p_model, p_attempt, p_worker,
    clock_timestamp())
  on conflict (call_id) do nothing;
  return jsonb_build_object('begin', 'begun', 'call_id', p_call_id);
end
$$;

-- Calls without an outcome, of images that are not delivered, that started at most so long ago.
create or replace function public.darkroom_open_calls(
  p_job_id uuid, p_stage_index integer, p_within_seconds double precision
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'ordinal', attempt.ordinal, 'call_id', attempt.call_id, 'worker', attempt.worker)), '[]')
  from public.quel_generation_attempts as attempt
  where attempt.job_id = p_job_id and attempt.stage_index = p_stage_index and attempt.outcome is null
    and attempt.started_at > clock_timestamp() - make_interval(secs => p_within_seconds)
    and not exists (
      select 1 from public.quel_attach as image
      where image.job_id = attempt.job_id and image.stage_index = attempt.stage_index
        and image.ordinal = attempt.ordinal and image.delivered_at is not null)
$$;

-- Close whatever run the job has, and make this one its run.
create or replace function public.darkroom_take_over(
  p_job_id uuid, p_run_id text, p_started_at timestamptz, p_restart boolean, p_failure text
) returns void
language plpgsql set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  update public.quel_job_runs set closed_at = v_now where job_id = p_job_id and closed_at is null;
  insert into public.quel_job_runs (run_id, job_id, started_at, opened_at, failure)
  values (p_run_id, p_job_id, p_started_at, v_now, p_failure);
  update public.quel_production_jobs
  set job_status = 'processing', current_run_id = p_run_id, error_message = null, failed_images = 0,
    completed_at = null, started_at = coalesce(started_at, v_now), updated_at = v_now,
    retry_count = coalesce(retry_count, 0) + p_restart::integer, control_version = 0, failing = false
  where job_id = p_job_id;
  update public.quel_job_stages set stage_status = 'waiting', reason = null where job_id = p_job_id;
  if p_restart then
    -- A restart is a fresh wish; a run that only takes over after a crash keeps the pause it finds.
    update public.quel_production_jobs
    set paused = false, paused_by_user = false, pause_reason = null, quota_until = null,
      cancel_requested = false, cancel_reason = null
    where job_id = p_job_id;
    update public.quel_job_requests set applied_at = v_now where job_id = p_job_id and applied_at is null;
  end if;
end
$$;

-- What a run needs to know, in numbers. A worker of before knows nothing of webhooks: without one it is not told.
create or replace function public.darkroom_plan(p_job_id uuid, p_failure text, p_provider text) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'failure', p_failure, 'job_type', coalesce(job.job_type, ''), 'user_id', job.quel_member_id,
    'total_images', coalesce(job.total_images, 0), 'max_top_ups', coalesce(job.max_top_ups, 0),
    'providers', string_to_array(coalesce(job.provider, p_provider), ','), 'started_at', job.started_at,
    'control', jsonb_build_object(
      'version', job.control_version, 'paused', job.paused_by_user, 'quota_until', job.quota_until,
      'reason', case when job.cancel_requested then job.cancel_reason else job.pause_reason end,
      'cancel_requested', job.cancel_requested, 'failing', job.failing, 'request', coalesce((
        select max(number) from public.quel_job_requests
        where job_id = p_job_id and applied_at is not null), 0)),
    'stages', coalesce((
      select jsonb_agg(jsonb_build_object(
        'stage_index', stage.stage_index, 'label', stage.label, 'quantity', stage.quantity,
        'target', stage.target, 'counts', public.darkroom_stage_counts(p_job_id, stage.stage_index)
      ) order by stage.stage_index)
      from public.quel_job_stages as stage where stage.job_id = p_job_id), '[]'))
    || case when job.webhook_url is null then '{}' else jsonb_build_object('webhook', true) end
  from public.quel_production_jobs as job where job.job_id = p_job_id
$$;

-- Number what a client asks of a job. It is new when it changes what the row and the requests before it ask for.
create or replace function public.darkroom_take_request(p_job_id uuid, p_request text, p_reason text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_last text;
  v_cancelled boolean;
  v_changed boolean;
  v_number integer;
begin
  select job_status, cancel_requested, paused, paused_by_user into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  if v_job.job_status not in ('pending', 'processing') then
    return jsonb_build_object('number', null, 'changed', false);
  end if;
  select request into v_last from public.quel_job_requests
  where job_id = p_job_id and applied_at is null and request <> 'cancel' order by number desc limit 1;
  v_cancelled := v_job.cancel_requested or exists (
    select 1 from public.quel_job_requests where job_id = p_job_id and applied_at is null and request = 'cancel');
  v_changed := not v_cancelled and case p_request
    when 'cancel' then true
    when 'pause' then not coalesce(v_last = 'pause', v_job.paused_by_user)
    else coalesce(v_last = 'pause', v_job.paused) end;
  insert into public.quel_job_requests (job_id, number, request, reason, requested_at)
  select p_job_id, coalesce(max(number), 0) + 1, p_request, p_reason, clock_timestamp()
  from public.quel_job_requests where job_id = p_job_id
  returning number into v_number;
  return jsonb_build_object('number', v_number, 'changed', v_changed);
end
$$;

-- Forget a request that could not be sent.
create or replace function public.darkroom_withdraw_request(p_job_id uuid, p_number integer) returns void
language sql security definer set search_path = '' as $$
  delete from public.quel_job_requests where job_id = p_job_id and number = p_number and applied_at is null
$$;

-- Write what was asked; an older version never replaces a newer one. Answers the version that is there then, or null
-- when another run has the job.
create or replace function public.darkroom_apply_control(p_job_id uuid, p_run_id text, p_control jsonb)
returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_user_paused boolean := (p_control->>'paused')::boolean;
  v_quota_until timestamptz := (p_control->>'quota_until')::timestamptz;
  v_cancel boolean := (p_control->>'cancel_requested')::boolean;
  v_paused boolean := v_user_paused or v_quota_until is not null;
begin
  select job_status, current_run_id, control_version into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  if public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id) is not null then
    return null;
  end if;
  if (p_control->>'version')::integer <= v_job.control_version then
    return v_job.control_version;
  end if;
  update public.quel_production_jobs
  set paused = v_paused, paused_by_user = v_user_paused, quota_until = v_quota_until,
    pause_reason = case when v_paused then p_control->>'reason' end,
    cancel_requested = v_cancel, cancel_reason = case when v_cancel then p_control->>'reason' end,
    failing = (p_control->>'failing')::boolean, control_version = (p_control->>'version')::integer,
    updated_at = clock_timestamp()
  where job_id = p_job_id;
  -- An earlier worker's control tells no request.
  update public.quel_job_requests set applied_at = clock_timestamp()
  where job_id = p_job_id and number <= (p_control->>'request')::integer and applied_at is null;
  perform public.darkroom_refresh_row(p_job_id);
  return (p_control->>'version')::integer;
end
$$;

-- The same for earlier workers, which hear only whether it is written.
create or replace function public.darkroom_set_control(p_job_id uuid, p_run_id text, p_control jsonb)
returns boolean
language sql security definer set search_path = '' as $$
  select coalesce(
    public.darkroom_apply_control(p_job_id, p_run_id, p_control) = (p_control->>'version')::integer, false)
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127090000') on conflict do nothing;

notify pgrst, 'reload schema';
