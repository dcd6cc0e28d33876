-- Which worker made a call is known, so that the end of a stage waits for the calls that may still bring a picture.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

alter table public.quel_generation_attempts add column if not exists worker text;

-- Without p_worker it goes, or a call with its arguments could mean either; earlier workers call the new one.
drop function if exists public.darkroom_begin_attempt(
  uuid, integer, integer, text, uuid, integer, text, integer, boolean, text, boolean);

-- Answer what is delivered or decided, refuse, say where to look, or write the attempt's row before the call.
create or replace function public.darkroom_begin_attempt(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_round integer, p_provider text, p_attempt integer, p_looked boolean,
  p_model text default null, p_calls boolean default false, p_worker text default null
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

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127090000') on conflict do nothing;

notify pgrst, 'reload schema';
