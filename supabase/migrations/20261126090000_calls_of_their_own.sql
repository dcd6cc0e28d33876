-- Every provider call has a place of its own in staging and a file of its own, so that a worker that comes back late
-- overwrites nothing. No call begins for a stage that has its quantity, nor a fourth one whose workers die each time.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

-- Those without p_calls go, or a call with their arguments could mean either. A worker of before, which does not ask
-- for calls, gets the answers that it can read.
drop function if exists public.darkroom_begin_attempt(
  uuid, integer, integer, text, uuid, integer, text, integer, boolean, text);
drop function if exists public.darkroom_unsettled_attempts(uuid, integer, integer, integer);
drop function if exists public.darkroom_settle(uuid, integer, integer, text);

-- The ordinals to make next: every one up to the highest ever attempted that is not decided, then new ones; never
-- more than the stage still lacks.
create or replace function public.darkroom_next_ordinals(
  p_job_id uuid, p_stage_index integer, p_limit integer
) returns jsonb
language sql stable security definer set search_path = '' as $$
  with decided as (
    select ordinal from public.quel_generation_attempts
    where job_id = p_job_id and stage_index = p_stage_index and outcome in ('missed', 'refused')
    union
    select ordinal from public.quel_attach
    where job_id = p_job_id and stage_index = p_stage_index and delivered_at is not null
  ), highest as (
    select coalesce(max(ordinal), -1) as ordinal from public.quel_generation_attempts
    where job_id = p_job_id and stage_index = p_stage_index
  ), wanted as (
    select greatest(0, least(p_limit, target - delivered_images)) as ordinals from public.quel_job_stages
    where job_id = p_job_id and stage_index = p_stage_index
  )
  select coalesce(jsonb_agg(next.ordinal order by next.ordinal), '[]')
  from (
    select candidate as ordinal
    from highest, wanted, generate_series(0, highest.ordinal + wanted.ordinals) as candidate
    where candidate > highest.ordinal or candidate not in (select ordinal from decided)
    order by candidate limit (select ordinals from wanted)
  ) as next
$$;

-- Answer what is delivered or decided, refuse, say where to look, or write the attempt's row before the call.
create or replace function public.darkroom_begin_attempt(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_round integer, p_provider text, p_attempt integer, p_looked boolean,
  p_model text default null, p_calls boolean default false
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
    call_id, job_id, stage_index, ordinal, run_id, round, provider, model, attempt, started_at)
  values (
    p_call_id, p_job_id, p_stage_index, p_ordinal, p_run_id, p_round, p_provider, p_model, p_attempt,
    clock_timestamp())
  on conflict (call_id) do nothing;
  return jsonb_build_object('begin', 'begun', 'call_id', p_call_id);
end
$$;

-- Calls without an outcome, or generated and not settled: all those of p_limit ordinals above p_after, of each the
-- newest first.
create or replace function public.darkroom_unsettled_attempts(
  p_job_id uuid, p_stage_index integer, p_after integer, p_limit integer, p_calls boolean default false
) returns jsonb
language sql stable security definer set search_path = '' as $$
  with page as (
    select distinct attempt.ordinal from public.quel_generation_attempts as attempt
    where attempt.job_id = p_job_id and attempt.stage_index = p_stage_index and attempt.ordinal > p_after
      and (attempt.outcome is null or attempt.outcome = 'generated')
      and not exists (
        select 1 from public.quel_attach as image
        where image.job_id = attempt.job_id and image.stage_index = attempt.stage_index
          and image.ordinal = attempt.ordinal and image.delivered_at is not null)
    order by attempt.ordinal limit p_limit
  )
  select coalesce(
    jsonb_agg(jsonb_build_array(call.ordinal, call.call_id) order by call.ordinal, call.attempt_id desc), '[]')
  from page join public.quel_generation_attempts as call using (ordinal)
  where call.job_id = p_job_id and call.stage_index = p_stage_index
    and (call.outcome is null or call.outcome = 'generated')
    and (p_calls or not exists (
      select 1 from public.quel_generation_attempts as newer
      where newer.job_id = call.job_id and newer.stage_index = call.stage_index and newer.ordinal = call.ordinal
        and newer.attempt_id > call.attempt_id and (newer.outcome is null or newer.outcome = 'generated')))
$$;

-- Insert the attachment or find it; the attempt that made it is now 'generated'.
create or replace function public.darkroom_attach(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_seconds double precision, p_path text, p_size integer, p_sha256 text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_refusal text;
  v_attach_id integer;
  v_name text := regexp_replace(p_path, '^.*/', '');
begin
  select job_status, current_run_id, quel_member_id into v_job
  from public.quel_production_jobs where job_id = p_job_id for share;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  select attach_id into v_attach_id from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and delivered_at is not null;
  if not found then
    v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
    if v_refusal is not null then
      return jsonb_build_object('attach_id', null, 'reason', v_refusal);
    end if;
    insert into public.quel_attach as image (
      attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type,
      attach_directory, attach_storage_type, job_id, stage_index, ordinal, quel_member_id, sha256, created_at)
    values (
      v_name, v_name, p_path, p_size, 'image/webp', left(p_path, greatest(0, length(p_path) - length(v_name) - 1)),
      'supabase', p_job_id, p_stage_index, p_ordinal, v_job.quel_member_id, p_sha256, clock_timestamp())
    on conflict (job_id, stage_index, ordinal) where job_id is not null do update
      set attach_original_name = excluded.attach_original_name, attach_file_name = excluded.attach_file_name,
        attach_file_path = excluded.attach_file_path, attach_directory = excluded.attach_directory,
        attach_file_size = excluded.attach_file_size, sha256 = excluded.sha256
      where image.delivered_at is null
    returning image.attach_id into v_attach_id;
    if not found then  -- delivered meanwhile, by a call of somebody else
      select attach_id into v_attach_id from public.quel_attach
      where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
    end if;
  end if;
  update public.quel_generation_attempts
  set outcome = 'generated', seconds = coalesce(p_seconds, seconds)
  where call_id = p_call_id and outcome is null;
  return jsonb_build_object('attach_id', v_attach_id);
end
$$;

-- Make an image count and charge for it: all of it or nothing, and once. Who watches goes by the order of delivered_at:
-- it never goes back, even where the clock does.
create or replace function public.darkroom_settle(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_calls boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_image record;
  v_refusal text;
  v_stage record;
  v_calls jsonb;
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
  v_calls := '{}';
  if p_calls then
    -- What they left in staging may go once the image is settled.
    select jsonb_build_object('call_ids', coalesce(jsonb_agg(call_id), '[]')) into v_calls
    from public.quel_generation_attempts
    where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
  end if;
  if v_image.delivered_at is not null then
    return jsonb_build_object('settlement', 'settled', 'attach_id', v_image.attach_id) || v_calls;
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
    'settlement', 'settled', 'attach_id', v_image.attach_id, 'row_trails', v_age is not null) || v_calls;
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261126090000') on conflict do nothing;

notify pgrst, 'reload schema';
