-- Images of a stage are attached and settled in groups, and calls of the provider begin and end in groups: one
-- transaction, and each image or call a savepoint of its own.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

-- Whether an error passes, as `darkroom.records.faults` has it: then the whole call fails, and is made again.
create or replace function public.darkroom_passes(p_code text) returns boolean
language sql immutable set search_path = '' as $$
  select p_code ~ '^(08|28|40|53|57|58)' or p_code in ('25006', '25P03', '55006', '55P03')
$$;

-- Insert the attachment or find it; the attempt that made it is now 'generated'. The caller holds the job's row, and
-- says why its run may attach nothing.
create or replace function public.darkroom_attach_image(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_refusal text, p_user uuid, p_call_id uuid,
  p_seconds double precision, p_path text, p_size integer, p_sha256 text
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_attach_id integer;
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
  select job_status, current_run_id, quel_member_id into v_job
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
  select job_status, current_run_id, quel_member_id into v_job
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

-- Make an image count and charge for it: all of it or nothing, and once. The caller holds the job's row, and says why its
-- run may settle nothing. One that counts from now on has `row_trails`: the job's row does not show it yet.
-- Who watches goes by the order of delivered_at: it never goes back, even where the clock does.
create or replace function public.darkroom_settle_image(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_refusal text, p_user uuid,
  p_price integer, p_production_id uuid
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_image record;
  v_stage record;
  v_refusal text := p_refusal;
begin
  select attach_id, delivered_at into v_image from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
  if v_image.delivered_at is not null then
    return jsonb_build_object('settlement', 'settled', 'attach_id', v_image.attach_id);
  end if;
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
  if p_user is not null then
    v_refusal := public.darkroom_charge(
      p_job_id, p_user, p_price, p_production_id, v_image.attach_id,
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
  return jsonb_build_object('settlement', 'settled', 'attach_id', v_image.attach_id, 'row_trails', true);
end
$$;

-- Bring the job's row up to date after settlements, unless that was done less than a second ago: it may trail by one
-- (spec §2). Gives whether it trails. A clock that was set back counts as due.
create or replace function public.darkroom_row_trails(p_job_id uuid, p_refreshed_at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_age interval := clock_timestamp() - p_refreshed_at;
begin
  if v_age >= interval '0' and v_age < interval '1 second' then
    return true;
  end if;
  perform public.darkroom_refresh_row(p_job_id);
  return false;
end
$$;

-- The calls made for an image: what they left in staging may go once it is settled.
create or replace function public.darkroom_calls_of(p_job_id uuid, p_stage_index integer, p_ordinal integer)
returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(call_id), '[]') from public.quel_generation_attempts
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal
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
  select job_status, current_run_id, quel_member_id, production_id, unit_price, refreshed_at into v_job
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
  select job_status, current_run_id, quel_member_id, production_id, unit_price, refreshed_at into v_job
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

-- Ask to begin several calls of the provider, of any jobs, each as darkroom_begin_attempt does.
create or replace function public.darkroom_begin_attempts(p_attempts jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_item jsonb;
  v_asked record;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
begin
  for v_item in select item from jsonb_array_elements(p_attempts) as items (item) loop
    begin
      set constraints all deferred;
      select * into v_asked from jsonb_to_record(v_item) as asked (
        job_id uuid, stage_index integer, ordinal integer, run_id text, call_id uuid, round integer, provider text,
        model text, attempt integer, worker text, taken_at timestamptz, looked boolean);
      v_answer := public.darkroom_begin_attempt(
        v_asked.job_id, v_asked.stage_index, v_asked.ordinal, v_asked.run_id, v_asked.call_id, v_asked.round,
        v_asked.provider, v_asked.attempt, v_asked.looked, v_asked.model, true, v_asked.worker, v_asked.taken_at);
      set constraints all immediate;  -- what is checked at the end of a transaction would fail all of them
    exception when others or assert_failure then
      if public.darkroom_passes(sqlstate) then
        raise;
      end if;
      v_answer := jsonb_build_object('code', sqlstate, 'message', sqlerrm);
    end;
    v_answers := array_append(v_answers, v_answer);
  end loop;
  return to_jsonb(v_answers);
end
$$;

-- Write how several calls ended, each once; the answer of one is empty. In the order of the calls, for the sake of two
-- that write the same ones.
create or replace function public.darkroom_finish_attempts(p_ends jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_end jsonb;
  v_place integer;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_ends)]);
begin
  for v_end, v_place in
    select item, place from jsonb_array_elements(p_ends) with ordinality as ends (item, place)
    order by item->>'call_id'
  loop
    begin
      set constraints all deferred;
      perform public.darkroom_finish_attempt(
        (v_end->>'call_id')::uuid, v_end->>'outcome', v_end->>'reason', (v_end->>'final')::boolean,
        (v_end->>'seconds')::double precision);
      v_answer := '{}';
      set constraints all immediate;  -- what is checked at the end of a transaction would fail all of them
    exception when others or assert_failure then
      if public.darkroom_passes(sqlstate) then
        raise;
      end if;
      v_answer := jsonb_build_object('code', sqlstate, 'message', sqlerrm);
    end;
    v_answers[v_place] := v_answer;
  end loop;
  return to_jsonb(v_answers);
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127130000') on conflict do nothing;

notify pgrst, 'reload schema';
