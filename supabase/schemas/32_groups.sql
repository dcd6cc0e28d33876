-- Several images, or calls of the provider, in one transaction (group commit); settlements are in 41_settlement.sql.
-- Each is a savepoint of its own: an error of one is that one's alone, and the answer says it with its code and message.
-- They are few: above 64 savepoints, transactions slow each other down.

-- Whether an error passes, as `darkroom.records.faults` has it: then the whole call fails, and is made again.
create or replace function public.darkroom_passes(p_code text) returns boolean
language sql immutable set search_path = '' as $$
  select p_code ~ '^(08|28|40|53|57|58)' or p_code in ('25006', '25P03', '55006', '55P03')
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
        (v_file->>'call_id')::uuid, (v_file->>'seconds')::double precision, (v_file->>'cost_usd')::numeric,
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
        model text, attempt integer, worker text, taken_at timestamptz, looked boolean, ceilings jsonb);
      v_answer := public.darkroom_begin_attempt(
        v_asked.job_id, v_asked.stage_index, v_asked.ordinal, v_asked.run_id, v_asked.call_id, v_asked.round,
        v_asked.provider, v_asked.attempt, v_asked.looked, v_asked.model, true, v_asked.worker, v_asked.taken_at,
        nullif(v_asked.ceilings, 'null'));
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
language plpgsql security definer set search_path = '' as $$
declare
  v_source jsonb;
  v_place integer;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_sources)]);
begin
  for v_source, v_place in
    select item, place from jsonb_array_elements(p_sources) with ordinality as sources (item, place)
    order by item->>'call_id'
  loop
    update public.quel_generation_attempts
    set source_sha256 = v_source->>'sha256', source_media_type = v_source->>'media_type',
      source_c2pa = (v_source->>'c2pa')::boolean
    where call_id = (v_source->>'call_id')::uuid
    returning jsonb_build_object('provider', provider, 'model', model) into v_answer;
    v_answers[v_place] := case when found then v_answer else '{}' end;
  end loop;
  return to_jsonb(v_answers);
end
$$;
