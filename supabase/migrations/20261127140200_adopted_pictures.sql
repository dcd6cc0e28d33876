-- Pictures in a table that was there before Darkroom: their ids may be bigints, and their path in the directory alone.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = on;

-- Answer what is delivered or decided, refuse, say where to look, or write the attempt's row before the call.
create or replace function public.darkroom_begin_attempt(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_round integer, p_provider text, p_attempt integer, p_looked boolean,
  p_model text default null, p_calls boolean default false, p_worker text default null,
  p_taken_at timestamptz default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_attach_id bigint;
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
  select job_status::text, current_run_id, cancel_requested, failing, paused into v_job
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

-- Insert the attachment or find it; the attempt that made it is now 'generated'. The caller holds the job's row, and
-- says why its run may attach nothing.
create or replace function public.darkroom_attach_image(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_refusal text, p_user uuid, p_call_id uuid,
  p_seconds double precision, p_path text, p_size integer, p_sha256 text
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_attach_id bigint;
  v_name text := regexp_replace(p_path, '^.*/', '');
begin
  select attach_id into v_attach_id from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and delivered_at is not null;
  if not found then
    if p_refusal is not null then
      return jsonb_build_object('attach_id', null, 'reason', p_refusal);
    end if;
    insert into public.quel_attach as image (
      attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type,
      attach_directory, attach_storage_type, job_id, stage_index, ordinal, quel_member_id, sha256, created_at)
    values (
      v_name, v_name, p_path, p_size, 'image/webp', left(p_path, greatest(0, length(p_path) - length(v_name) - 1)),
      'supabase', p_job_id, p_stage_index, p_ordinal, p_user, p_sha256, clock_timestamp())
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

-- The same for a caller that does not hold the job's row yet.
create or replace function public.darkroom_attach(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_seconds double precision, p_path text, p_size integer, p_sha256 text
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
    p_call_id, p_seconds, p_path, p_size, p_sha256);
end
$$;

-- Where a picture is kept. Rows of before Darkroom may have it in the directory alone.
create or replace function public.darkroom_path(image public.quel_attach) returns text
language sql immutable set search_path = '' as $$
  select coalesce(nullif(image.attach_file_path, ''), nullif(image.attach_directory, ''))
$$;

-- Rows of before Darkroom may lack a type; what they were, mostly, is WebP.
create or replace function public.darkroom_stored_file(p_attach_id bigint) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'attach_id', attach_id, 'path', stored.path, 'user_id', quel_member_id,
    'media_type', coalesce(nullif(attach_file_type, ''), case lower(substring(stored.path from '[^.]*$'))
      when 'png' then 'image/png' when 'jpg' then 'image/jpeg' when 'jpeg' then 'image/jpeg'
      else 'image/webp' end))
  from public.quel_attach as image cross join lateral (select public.darkroom_path(image) as path) as stored
  where attach_id = p_attach_id and stored.path is not null and (job_id is null or delivered_at is not null)
$$;

-- Attach several images of a stage; the answers are in the order of the files. They are attached in the order of their
-- ordinals: two groups of the same images at once would wait for each other.
create or replace function public.darkroom_attach_group(
  p_job_id uuid, p_stage_index integer, p_run_id text, p_directory text, p_files jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_refusal text;
  v_file jsonb;
  v_place integer;
  v_attached jsonb;
  v_results jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_files)]);
begin
  select job_status::text, current_run_id, quel_member_id into v_job
  from public.quel_production_jobs where job_id = p_job_id for share;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  for v_file, v_place in
    select file, place from jsonb_array_elements(p_files) with ordinality as files (file, place)
    order by (file->>'ordinal')::numeric
  loop
    begin
      set constraints all deferred;
      v_attached := public.darkroom_attach_image(
        p_job_id, p_stage_index, (v_file->>'ordinal')::integer, v_refusal, v_job.quel_member_id,
        (v_file->>'call_id')::uuid, (v_file->>'seconds')::double precision,
        p_directory || '/' || (v_file->>'name'), (v_file->>'size')::integer, v_file->>'sha256');
      set constraints all immediate;  -- what is checked at the end of a transaction would fail all of them
    exception when others or assert_failure then
      if public.darkroom_passes(sqlstate) then
        raise;
      end if;
      v_attached := jsonb_build_object('refused', true, 'code', sqlstate, 'message', sqlerrm);
    end;
    v_results[v_place] := v_attached;
  end loop;
  return to_jsonb(v_results);
end
$$;

-- Settle one image.
create or replace function public.darkroom_settle(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_calls boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_settled jsonb;
begin
  -- Settlements of one job come one after another: two with one key, or the last one of a stage twice, meet here.
  select job_status::text, current_run_id, quel_member_id, production_id, unit_price, refreshed_at into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  v_settled := public.darkroom_settle_image(
    p_job_id, p_stage_index, p_ordinal, p_run_id,
    public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id),
    v_job.quel_member_id, v_job.unit_price, v_job.production_id);
  if v_settled ? 'row_trails' then
    v_settled := v_settled
      || jsonb_build_object('row_trails', public.darkroom_row_trails(p_job_id, v_job.refreshed_at));
  end if;
  if p_calls and v_settled->>'settlement' = 'settled' then
    v_settled := v_settled
      || jsonb_build_object('call_ids', public.darkroom_calls_of(p_job_id, p_stage_index, p_ordinal));
  end if;
  return v_settled;
end
$$;

-- Settle several images of a stage, one after another in this order, and bring the job's row up to date at most once.
-- An error of one image is its own: it changes nothing, and the others are settled. What passes fails the call.
create or replace function public.darkroom_settle_group(
  p_job_id uuid, p_stage_index integer, p_run_id text, p_ordinals integer[]
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_refusal text;
  v_ordinal integer;
  v_settled jsonb;
  v_results jsonb[] := '{}';
  v_new boolean := false;
  v_trails jsonb := '{}';
begin
  select job_status::text, current_run_id, quel_member_id, production_id, unit_price, refreshed_at into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  foreach v_ordinal in array p_ordinals loop
    begin
      set constraints all deferred;
      v_settled := public.darkroom_settle_image(
        p_job_id, p_stage_index, v_ordinal, p_run_id, v_refusal,
        v_job.quel_member_id, v_job.unit_price, v_job.production_id);
      v_new := v_new or v_settled ? 'row_trails';
      set constraints all immediate;  -- what is checked at the end of a transaction would fail all of them
    exception when others or assert_failure then
      if public.darkroom_passes(sqlstate) then
        raise;
      end if;
      v_settled := jsonb_build_object('settlement', 'refused', 'code', sqlstate, 'message', sqlerrm);
    end;
    v_results := array_append(v_results, v_settled);
  end loop;
  if v_new and not public.darkroom_row_trails(p_job_id, v_job.refreshed_at) then
    v_trails := '{"row_trails": false}';
  end if;
  return (
    select coalesce(jsonb_agg(
      settled.result || case when settled.result ? 'row_trails' then v_trails else '{}' end
        || case when settled.result->>'settlement' = 'settled' then jsonb_build_object(
          'call_ids', public.darkroom_calls_of(p_job_id, p_stage_index, p_ordinals[settled.place::integer]))
          else '{}' end
      order by settled.place), '[]')
    from unnest(v_results) with ordinality as settled (result, place));
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127140200') on conflict do nothing;

notify pgrst, 'reload schema';
