-- Each call's row says which model it asked; deliveries of a job stand in the order in which they were settled.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

-- The one without a model goes, or a call with its arguments could mean either. A worker of before, which gives no
-- model, is served by the new one.
drop function if exists public.darkroom_begin_attempt(
  uuid, integer, integer, text, uuid, integer, text, integer, boolean);

-- Answer what is delivered or decided, refuse, say where to look, or write the attempt's row before the call.
create or replace function public.darkroom_begin_attempt(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_round integer, p_provider text, p_attempt integer, p_looked boolean,
  p_model text default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_attach_id integer;
  v_job record;
  v_refusal text;
  v_decided record;
  v_waiting uuid;
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
  select outcome, reason, final into v_decided from public.quel_generation_attempts
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal
    and outcome in ('missed', 'refused')
  order by attempt_id desc limit 1;
  if found then
    return jsonb_build_object(
      'begin', 'decided', 'outcome', v_decided.outcome, 'reason', v_decided.reason, 'final', v_decided.final);
  end if;
  if not p_looked then
    select call_id into v_waiting from public.quel_generation_attempts
    where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal
      and (outcome is null or outcome = 'generated')
    order by attempt_id desc limit 1;
    if found then
      return jsonb_build_object('begin', 'look', 'call_id', v_waiting);
    end if;
  end if;
  insert into public.quel_generation_attempts (
    call_id, job_id, stage_index, ordinal, run_id, round, provider, model, attempt, started_at)
  values (
    p_call_id, p_job_id, p_stage_index, p_ordinal, p_run_id, p_round, p_provider, p_model, p_attempt,
    clock_timestamp())
  on conflict (call_id) do nothing;
  return jsonb_build_object('begin', 'begun', 'call_id', p_call_id);
end
$$;

-- Make an image count and charge for it: all of it or nothing, and once. Who watches goes by the order of delivered_at:
-- it never goes back, even where the clock does.
create or replace function public.darkroom_settle(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_image record;
  v_refusal text;
  v_stage record;
  v_age interval;
begin
  -- Settlements of one job come one after another: two with one key, or the last one of a stage twice, meet here.
  select job_status, current_run_id, quel_member_id, production_id, unit_price, refreshed_at into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  select attach_id, delivered_at into v_image from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
  if v_image.delivered_at is not null then
    return jsonb_build_object('settlement', 'settled', 'attach_id', v_image.attach_id);
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  if v_refusal is null and v_image.attach_id is null then
    v_refusal := format('image %s/%s/%s has no attachment', p_job_id, p_stage_index, p_ordinal);
  end if;
  if v_refusal is not null then
    return jsonb_build_object('settlement', 'run_refused', 'reason', v_refusal);
  end if;
  select target, delivered_images into v_stage from public.quel_job_stages
  where job_id = p_job_id and stage_index = p_stage_index;
  -- The target, not the quantity: a stage's part of max_credits is never taken by another stage.
  if not found or v_stage.delivered_images >= v_stage.target then
    return jsonb_build_object(
      'settlement', 'stage_full', 'reason', 'the stage has all it may deliver already');
  end if;
  if v_job.quel_member_id is not null then
    v_refusal := public.darkroom_charge(
      p_job_id, v_job.quel_member_id, v_job.unit_price, v_job.production_id, v_image.attach_id,
      format('%s/%s/%s', p_job_id, p_stage_index, p_ordinal));
    if v_refusal is not null then
      return jsonb_build_object('settlement', 'insufficient', 'reason', v_refusal);
    end if;
  end if;
  update public.quel_attach set delivered_run = p_run_id, delivered_at = greatest(clock_timestamp(), (
    select max(delivered_at) + interval '1 microsecond' from public.quel_attach
    where job_id = p_job_id and delivered_at is not null))
  where attach_id = v_image.attach_id;
  update public.quel_job_stages set delivered_images = delivered_images + 1
  where job_id = p_job_id and stage_index = p_stage_index;
  -- The row may trail by one second (spec §2); a clock that was set back counts as due.
  v_age := clock_timestamp() - v_job.refreshed_at;
  if v_age < interval '0' or v_age >= interval '1 second' then
    perform public.darkroom_refresh_row(p_job_id);
    v_age := null;
  end if;
  return jsonb_build_object(
    'settlement', 'settled', 'attach_id', v_image.attach_id, 'row_trails', v_age is not null);
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261125090100') on conflict do nothing;

notify pgrst, 'reload schema';
