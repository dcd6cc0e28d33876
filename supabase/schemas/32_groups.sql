-- Several images, or calls of the provider, in one transaction (group commit); settlements are in 41_settlement.sql.
-- All at once where that can be; else each is a savepoint of its own: an error of one is that one's alone, and the answer
-- says it with its code and message. They are few: above 64 savepoints, transactions slow each other down.

-- Whether an error passes, as `darkroom.records.faults` has it: then the whole call fails, and is made again.
create or replace function public.darkroom_passes(p_code text) returns boolean
language sql immutable set search_path = '' as $$
  select p_code ~ '^(08|28|40|53|57|58)' or p_code in ('25006', '25P03', '55006', '55P03')
$$;

-- Attach several images of a stage at once; an error where one of them is delivered or named twice, and has to be looked
-- at by itself: what was done is undone then. The caller holds the job's row, whose run may attach.
-- A connection keeps its plans: one that was made while a table was small would read all of it for these few rows.
create or replace function public.darkroom_attach_at_once(
  p_job_id uuid, p_stage_index integer, p_user uuid, p_directory text, p_files jsonb
) returns jsonb[]
language plpgsql
set search_path = '' set plan_cache_mode = 'force_generic_plan' set jit = 'off'
set enable_seqscan = 'off' set enable_hashjoin = 'off' set enable_mergejoin = 'off' as $$
declare
  v_attached jsonb;
  v_results jsonb[];
begin
  with file as (
    select files.*, case substring(name from '[^.]*$')
      when 'jpg' then 'image/jpeg' when 'png' then 'image/png' when 'avif' then 'image/avif'
      else 'image/webp' end as type
    from jsonb_to_recordset(p_files) as files (ordinal integer, call_id uuid, name text, size integer, sha256 text)
  ), attached as (
    insert into public.quel_attach as image (
      attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type,
      attach_directory, attach_storage_type, job_id, stage_index, ordinal, quel_member_id, sha256,
      source_sha256, source_media_type, source_c2pa, source_provider, source_model, created_at)
    select file.name, file.name, p_directory || '/' || file.name, file.size, file.type, p_directory, 'supabase',
      p_job_id, p_stage_index, file.ordinal, p_user, file.sha256, call.source_sha256, call.source_media_type,
      call.source_c2pa, call.provider, call.model, clock_timestamp()
    from file left join public.quel_generation_attempts as call using (call_id) order by file.ordinal
    on conflict (job_id, stage_index, ordinal) where job_id is not null do update
      set attach_original_name = excluded.attach_original_name, attach_file_name = excluded.attach_file_name,
        attach_file_path = excluded.attach_file_path, attach_directory = excluded.attach_directory,
        attach_file_size = excluded.attach_file_size, attach_file_type = excluded.attach_file_type,
        sha256 = excluded.sha256,
        source_sha256 = excluded.source_sha256, source_media_type = excluded.source_media_type,
        source_c2pa = excluded.source_c2pa, source_provider = excluded.source_provider,
        source_model = excluded.source_model
      where image.delivered_at is null
    returning image.ordinal, image.attach_id
  )
  select jsonb_object_agg(ordinal, attach_id) into v_attached from attached;
  v_results := array(
    select jsonb_build_object('attach_id', v_attached->(file->>'ordinal'))
    from jsonb_array_elements(p_files) with ordinality as files (file, place)
    where v_attached ? (file->>'ordinal') order by place);
  if cardinality(v_results) < jsonb_array_length(p_files) then
    raise sqlstate 'PT409' using message = 'one of the images is delivered';
  end if;
  update public.quel_generation_attempts as call
  set outcome = 'generated', seconds = coalesce(file.seconds, call.seconds), cost_usd = file.cost_usd
  from jsonb_to_recordset(p_files) as file (call_id uuid, seconds double precision, cost_usd numeric)
  where call.call_id = file.call_id and call.outcome is null;
  return v_results;
end
$$;

-- Attach several images of a stage, at once where that can be; the answers are in the order of the files. They are
-- attached in the order of their ordinals: two groups of the same images at once would wait for each other.
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
  v_results jsonb[];
begin
  select job_status::text, current_run_id, quel_member_id into v_job
  from public.quel_production_jobs where job_id = p_job_id for share;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  if v_refusal is null and jsonb_array_length(p_files) > 1 then
    begin
      set constraints all deferred;
      v_results := public.darkroom_attach_at_once(
        p_job_id, p_stage_index, v_job.quel_member_id, p_directory, p_files);
      set constraints all immediate;  -- what is checked at the end of a transaction would fail all of them
    exception when others or assert_failure then
      if public.darkroom_passes(sqlstate) then
        raise;
      end if;
      v_results := null;  -- one of them is to blame, and the others are none the worse
    end;
  end if;
  if v_results is not null then
    return to_jsonb(v_results);
  end if;
  v_results := array_fill(null::jsonb, array[jsonb_array_length(p_files)]);
  for v_file, v_place in
    select file, place from jsonb_array_elements(p_files) with ordinality as files (file, place)
    order by (file->>'ordinal')::numeric
  loop
    begin
      set constraints all deferred;
      v_attached := public.darkroom_attach_image(
        p_job_id, p_stage_index, (v_file->>'ordinal')::integer, v_refusal, v_job.quel_member_id,
        (v_file->>'call_id')::uuid, (v_file->>'seconds')::double precision, (v_file->>'cost_usd')::numeric,
        p_directory || '/' || (v_file->>'name'), (v_file->>'size')::integer, v_file->>'sha256');
      set constraints all immediate;
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

-- Begin those of several calls, of any jobs, that nothing stands in the way of: the first ones of their images. Gives
-- the calls that have begun; none where daily ceilings are asked, which see one call after another. Planned as above.
create or replace function public.darkroom_begin_first(p_attempts jsonb) returns uuid[]
language plpgsql
set search_path = '' set plan_cache_mode = 'force_generic_plan' set jit = 'off'
set enable_seqscan = 'off' set enable_hashjoin = 'off' set enable_mergejoin = 'off' as $$
declare
  v_begun uuid[];
begin
  if jsonb_path_exists(p_attempts, '$[*].ceilings ? (@ != null)') then
    return null;
  end if;
  -- As darkroom_begin_attempt does: whoever writes a pause or a cancel waits for us, or what follows sees it.
  perform from public.quel_production_jobs
  where job_id = any (array(
    select (item->>'job_id')::uuid from jsonb_array_elements(p_attempts) as attempts (item)))
  order by job_id for share;
  with asked as materialized (
    select distinct on (job_id, stage_index, ordinal) *
    from rows from (jsonb_to_recordset(p_attempts) as (
      job_id uuid, stage_index integer, ordinal integer, run_id text, call_id uuid, round integer, provider text,
      model text, attempt integer, worker text)) with ordinality
    order by job_id, stage_index, ordinal, ordinality
  ), run as materialized (
    select job.job_id, job.current_run_id as run_id, job.quel_member_id, job.unit_price
    from (select distinct job_id, run_id from asked) as mine
    join public.quel_production_jobs as job using (job_id)
    where not (job.cancel_requested or job.failing or job.paused)
      and public.darkroom_refuse_run(job.job_status::text, job.current_run_id, mine.run_id) is null
  ), begun as (
    insert into public.quel_generation_attempts (
      call_id, job_id, stage_index, ordinal, run_id, round, provider, model, attempt, worker, quel_member_id, credits,
      started_at)
    select call_id, job_id, stage_index, ordinal, run_id, round, provider, model, attempt, worker, run.quel_member_id,
      coalesce(stage.unit_price, run.unit_price, 0), clock_timestamp()
    from asked join run using (job_id, run_id) join public.quel_job_stages as stage using (job_id, stage_index)
    where stage.delivered_images < stage.target
      and not exists (
        select from public.quel_generation_attempts as call where call.job_id = asked.job_id
          and call.stage_index = asked.stage_index and call.ordinal = asked.ordinal)
      and (
        select image.delivered_at from public.quel_attach as image where image.job_id = asked.job_id
          and image.stage_index = asked.stage_index and image.ordinal = asked.ordinal) is null
    on conflict (call_id) do nothing
    returning call_id
  )
  select array_agg(call_id) into v_begun from begun;
  return v_begun;
end
$$;

-- Ask to begin several calls of the provider, of any jobs, each as darkroom_begin_attempt does: most are the first of
-- their images, and begin at once.
create or replace function public.darkroom_begin_attempts(p_attempts jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_item jsonb;
  v_asked record;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_begun uuid[];
begin
  if jsonb_array_length(p_attempts) > 1 then
    begin
      set constraints all deferred;
      v_begun := public.darkroom_begin_first(p_attempts);
      set constraints all immediate;  -- what is checked at the end of a transaction would fail all of them
    exception when others or assert_failure then
      if public.darkroom_passes(sqlstate) then
        raise;
      end if;
      v_begun := null;  -- one of them is to blame, and the others are none the worse
    end;
  end if;
  for v_item in select item from jsonb_array_elements(p_attempts) as items (item) loop
    if (v_item->>'call_id')::uuid = any (v_begun) then
      v_answers := array_append(v_answers, jsonb_build_object('begin', 'begun', 'call_id', (v_item->>'call_id')::uuid));
      continue;
    end if;
    begin
      set constraints all deferred;
      select * into v_asked from jsonb_to_record(v_item) as asked (
        job_id uuid, stage_index integer, ordinal integer, run_id text, call_id uuid, round integer, provider text,
        model text, attempt integer, worker text, taken_at timestamptz, looked boolean, ceilings jsonb);
      v_answer := public.darkroom_begin_attempt(
        v_asked.job_id, v_asked.stage_index, v_asked.ordinal, v_asked.run_id, v_asked.call_id, v_asked.round,
        v_asked.provider, v_asked.attempt, v_asked.looked, v_asked.model, true, v_asked.worker, v_asked.taken_at,
        nullif(v_asked.ceilings, 'null'));
      set constraints all immediate;
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
        (v_end->>'seconds')::double precision, (v_end->>'cost_usd')::numeric);
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

-- Write what several calls brought, for the attachments that are made of it; who drew each. In the order of the calls,
-- for the sake of two that write the same ones.
create or replace function public.darkroom_note_sources(p_sources jsonb) returns jsonb
language plpgsql security definer
set search_path = '' set plan_cache_mode = 'force_generic_plan' set jit = 'off'
set enable_seqscan = 'off' set enable_hashjoin = 'off' set enable_mergejoin = 'off' as $$
declare
  v_answers jsonb;
begin
  with noted as (
    update public.quel_generation_attempts as call
    set source_sha256 = source.sha256, source_media_type = source.media_type, source_c2pa = source.c2pa
    from (
      select * from jsonb_to_recordset(p_sources) as sources (call_id uuid, sha256 text, media_type text, c2pa boolean)
      order by call_id) as source
    where call.call_id = source.call_id
    returning call.call_id, jsonb_build_object('provider', call.provider, 'model', call.model) as made
  )
  select coalesce(jsonb_agg(coalesce(noted.made, '{}') order by place), '[]') into v_answers
  from jsonb_array_elements(p_sources) with ordinality as sources (item, place)
  left join noted on noted.call_id = (item->>'call_id')::uuid;
  return v_answers;
end
$$;
