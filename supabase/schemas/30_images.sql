-- One image's way through the records: attempt and attachment (spec §3); 41_settlement.sql is the rest of it.
-- Locks are taken in one order: job, member, hold, stage, and leave the keys free (`no key update`): tables of before
-- may have foreign keys, and two checks that share a key while each waits for all of the row are a deadlock.

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
  p_model text default null, p_calls boolean default false, p_worker text default null,
  p_taken_at timestamptz default null, p_ceilings jsonb default null
) returns jsonb
language plpgsql security definer
set search_path = '' set jit = 'off' set enable_seqscan = 'off' as $$
declare
  v_image record;
  v_job record;
  v_refusal text;
  v_decided record;
  v_calls record;
  v_reason text;
  v_stage record;
  v_spent jsonb;
begin
  -- Not `delivered_at is not null`: a planner without statistics would take the index of what is delivered, and walk over
  -- all of the job.
  select attach_id, delivered_at into v_image from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
  if v_image.delivered_at is not null then
    return jsonb_build_object('begin', 'delivered', 'attach_id', v_image.attach_id);
  end if;
  -- Shared with other attempts, not with whoever writes a pause or a cancel: that one waits for us, or we see it.
  select job_status::text, current_run_id, cancel_requested, failing, paused, quel_member_id, unit_price into v_job
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
  select delivered_images >= target as is_full, coalesce(unit_price, v_job.unit_price, 0) as price into v_stage
  from public.quel_job_stages where job_id = p_job_id and stage_index = p_stage_index;
  if v_stage.is_full and p_calls then
    return jsonb_build_object('begin', 'full', 'reason', 'the stage has all it may deliver already');
  end if;
  select array_agg(call_id order by attempt_id desc) filter (where outcome is null or outcome = 'generated') as waiting,
    array_agg(call_id order by attempt_id desc) filter (where outcome is null) as unknown,
    max(attempt_id) filter (where outcome in ('missed', 'refused')) as decided,
    bool_or(attempt > p_attempt and started_at > p_taken_at) as too_late into v_calls
  from public.quel_generation_attempts
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
  -- A worker that stood still holds tries that Temporal has given up; another one may have begun since.
  if v_calls.too_late then
    return jsonb_build_object('begin', 'held', 'reason', 'a later try of this image has begun');
  end if;
  if v_calls.decided is not null then
    select outcome, reason, final into v_decided from public.quel_generation_attempts
    where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and attempt_id = v_calls.decided;
    return jsonb_build_object(
      'begin', 'decided', 'outcome', v_decided.outcome, 'reason', v_decided.reason, 'final', v_decided.final);
  end if;
  if v_calls.waiting is not null and not p_looked then
    return jsonb_build_object('begin', 'look', 'call_id', v_calls.waiting[1])
      || case when p_calls then jsonb_build_object('call_ids', to_jsonb(v_calls.waiting)) else '{}' end;
  end if;
  -- A picture that takes its worker down each time is asked for three times, and no more.
  if cardinality(v_calls.unknown) >= 3 then
    v_reason := '3 calls ended without an outcome: their workers died';
    -- The oldest: the bytes of the newest may still come, from a worker that was stopped with them.
    perform public.darkroom_finish_attempt(
      v_calls.unknown[cardinality(v_calls.unknown)], 'missed', v_reason, false, 0);
    return jsonb_build_object('begin', 'decided', 'outcome', 'missed', 'reason', v_reason, 'final', false);
  end if;
  if p_ceilings is not null then
    v_spent := public.darkroom_reached_ceiling(
      p_job_id, p_stage_index, p_ordinal, p_provider, v_job.quel_member_id, v_stage.price, p_ceilings);
    if v_spent is not null then
      return v_spent;
    end if;
  end if;
  insert into public.quel_generation_attempts (
    call_id, job_id, stage_index, ordinal, run_id, round, provider, model, attempt, worker, quel_member_id, credits,
    started_at)
  values (
    p_call_id, p_job_id, p_stage_index, p_ordinal, p_run_id, p_round, p_provider, p_model, p_attempt, p_worker,
    v_job.quel_member_id, v_stage.price, clock_timestamp())
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

-- Write how a call ended, once.
create or replace function public.darkroom_finish_attempt(
  p_call_id uuid, p_outcome text, p_reason text, p_final boolean, p_seconds double precision,
  p_cost_usd numeric default null
) returns void
language sql security definer set search_path = '' as $$
  update public.quel_generation_attempts
  set outcome = p_outcome, reason = p_reason, final = p_final, seconds = p_seconds, cost_usd = p_cost_usd
  where call_id = p_call_id and outcome is null
$$;

-- Insert the attachment or find it; the attempt that made it is now 'generated'. The caller holds the job's row, and
-- says why its run may attach nothing.
create or replace function public.darkroom_attach_image(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_refusal text, p_user uuid, p_call_id uuid,
  p_seconds double precision, p_cost_usd numeric, p_path text, p_size integer, p_sha256 text
) returns jsonb
language plpgsql
set search_path = '' set jit = 'off' set enable_seqscan = 'off' as $$
declare
  v_image record;
  v_attach_id bigint;
  v_name text := regexp_replace(p_path, '^.*/', '');
  v_source record;
begin
  select attach_id, delivered_at into v_image from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
  v_attach_id := v_image.attach_id;
  if v_image.delivered_at is null then
    if p_refusal is not null then
      return jsonb_build_object('attach_id', null, 'reason', p_refusal);
    end if;
    select source_sha256 as sha256, source_media_type as media_type, source_c2pa as c2pa, provider, model into v_source
    from public.quel_generation_attempts where call_id = p_call_id;
    insert into public.quel_attach as image (
      attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type,
      attach_directory, attach_storage_type, job_id, stage_index, ordinal, quel_member_id, sha256,
      source_sha256, source_media_type, source_c2pa, source_provider, source_model, created_at)
    values (
      v_name, v_name, p_path, p_size,
      case substring(v_name from '[^.]*$')
        when 'jpg' then 'image/jpeg' when 'png' then 'image/png' when 'avif' then 'image/avif' else 'image/webp' end,
      left(p_path, greatest(0, length(p_path) - length(v_name) - 1)),
      'supabase', p_job_id, p_stage_index, p_ordinal, p_user, p_sha256,
      v_source.sha256, v_source.media_type, v_source.c2pa, v_source.provider, v_source.model, clock_timestamp())
    on conflict (job_id, stage_index, ordinal) where job_id is not null do update
      set attach_original_name = excluded.attach_original_name, attach_file_name = excluded.attach_file_name,
        attach_file_path = excluded.attach_file_path, attach_directory = excluded.attach_directory,
        attach_file_size = excluded.attach_file_size, attach_file_type = excluded.attach_file_type,
        sha256 = excluded.sha256,
        source_sha256 = excluded.source_sha256, source_media_type = excluded.source_media_type,
        source_c2pa = excluded.source_c2pa, source_provider = excluded.source_provider,
        source_model = excluded.source_model
      where image.delivered_at is null
    returning image.attach_id into v_attach_id;
    if not found then  -- delivered meanwhile, by a call of somebody else
      select attach_id into v_attach_id from public.quel_attach
      where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
    end if;
  end if;
  update public.quel_generation_attempts
  set outcome = 'generated', seconds = coalesce(p_seconds, seconds), cost_usd = p_cost_usd
  where call_id = p_call_id and outcome is null;
  return jsonb_build_object('attach_id', v_attach_id);
end
$$;

-- The same for a caller that does not hold the job's row yet.
create or replace function public.darkroom_attach(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_seconds double precision, p_path text, p_size integer, p_sha256 text, p_cost_usd numeric default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
begin
  select job_status::text, current_run_id, quel_member_id into v_job
  from public.quel_production_jobs where job_id = p_job_id for share;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  return public.darkroom_attach_image(
    p_job_id, p_stage_index, p_ordinal,
    public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id), v_job.quel_member_id,
    p_call_id, p_seconds, p_cost_usd, p_path, p_size, p_sha256);
end
$$;
