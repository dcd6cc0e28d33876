-- Groups of images are attached and settled, and calls of the provider begun, in a few statements for all of them, as long
-- as nothing stands in the way of any; before, in several statements for each. Whether one image is delivered is asked so
-- that a planner without statistics does not walk over all of its job.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = on;

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

-- Take the price of each of these pictures from balance and hold, all or nothing; gives the reason when whoever pays may
-- not, or has too little. The hold says who pays: the job's row can be changed by others. The journal goes by time.
create or replace function public.darkroom_charge_all(
  p_job_id uuid, p_user uuid, p_price integer, p_production_id uuid, p_attach_ids bigint[], p_keys text[]
) returns text
language plpgsql set search_path = '' as $$
declare
  v_payer record;
  v_user uuid;
  v_refusal text;
  v_balance bigint;
  v_held integer;
  v_need bigint := p_price::bigint * cardinality(p_keys);
  v_now timestamptz;
begin
  select quel_member_id, org_id into v_payer from public.quel_credit_holds where job_id = p_job_id;
  v_user := coalesce(v_payer.quel_member_id, p_user);
  if v_payer.org_id is null then
    select quel_member_credit into v_balance from public.quel_member where quel_member_id = v_user for no key update;
  else
    select org_credit into v_balance
    from public.quel_organization where org_id = v_payer.org_id for no key update;
    v_refusal := public.darkroom_cannot_pay(v_payer.org_id, v_user);
    if v_refusal is not null then
      return v_refusal;
    end if;
  end if;
  if coalesce(v_balance, 0) < v_need then
    return format('insufficient credits: need %s, balance %s', v_need, coalesce(v_balance, 0));
  end if;
  select amount into v_held from public.quel_credit_holds
  where job_id = p_job_id and released_at is null for no key update;
  if coalesce(v_held, -1) < v_need then
    return format('insufficient credits: need %s, the job''s hold has %s left', v_need, coalesce(v_held, 0));
  end if;
  v_now := clock_timestamp();
  insert into public.quel_credits (
    user_id, org_id, used_by_member_id, transaction_type, amount, balance_after, attach_idx, production_idx,
    job_id, idempotency_key, created_at)
  select v_user, v_payer.org_id, case when v_payer.org_id is not null then v_user end, 'DEDUCT', -p_price,
    v_balance - p_price * place, attach_id, p_production_id, p_job_id, key, v_now + (place - 1) * interval '1 us'
  from unnest(p_attach_ids, p_keys) with ordinality as charged (attach_id, key, place) order by place;
  if v_payer.org_id is null then
    update public.quel_member set quel_member_credit = v_balance - v_need where quel_member_id = v_user;
  else
    update public.quel_organization set org_credit = v_balance - v_need where org_id = v_payer.org_id;
  end if;
  update public.quel_credit_holds set amount = amount - v_need where job_id = p_job_id;
  return null;
end
$$;

-- For one picture. No function calls it any more but one that began before the migration that brought the one above.
create or replace function public.darkroom_charge(
  p_job_id uuid, p_user uuid, p_price integer, p_production_id uuid, p_attach_id bigint, p_key text
) returns text
language sql set search_path = '' as $$
  select public.darkroom_charge_all(p_job_id, p_user, p_price, p_production_id, array[p_attach_id], array[p_key])
$$;

-- Charge for images that wait to be settled and have room in their stage, and make them count, in this order: all of them
-- or none; gives the reason when whoever pays may not, or has too little. The caller holds the job's row.
-- Who watches goes by the order of delivered_at: it never goes back, even where the clock does.
create or replace function public.darkroom_deliver(
  p_job_id uuid, p_stage_index integer, p_ordinals integer[], p_attach_ids bigint[], p_run_id text, p_user uuid,
  p_price integer, p_production_id uuid
) returns text
language plpgsql
set search_path = '' set plan_cache_mode = 'force_generic_plan' set jit = 'off' set enable_seqscan = 'off' as $$
declare
  v_refusal text;
  v_first timestamptz;
begin
  if p_user is not null or exists (select from public.quel_credit_holds where job_id = p_job_id) then
    v_refusal := public.darkroom_charge_all(
      p_job_id, p_user, p_price, p_production_id, p_attach_ids,
      array(
        select format('%s/%s/%s', p_job_id, p_stage_index, ordinal)
        from unnest(p_ordinals) with ordinality as delivered (ordinal, place) order by place));
    if v_refusal is not null then
      return v_refusal;
    end if;
  end if;
  select greatest(clock_timestamp(), max(delivered_at) + interval '1 us') into v_first from public.quel_attach
  where job_id = p_job_id and delivered_at is not null;
  update public.quel_attach set delivered_run = p_run_id,
    delivered_at = v_first + (array_position(p_attach_ids, attach_id::bigint) - 1) * interval '1 us'
  where attach_id = any (p_attach_ids);
  update public.quel_job_stages set delivered_images = delivered_images + cardinality(p_attach_ids)
  where job_id = p_job_id and stage_index = p_stage_index;
  return null;
end
$$;

-- Settle one image, once. The caller holds the job's row, and says why its run may settle nothing. One that counts from
-- now on has `row_trails`: the job's row does not show it yet.
create or replace function public.darkroom_settle_image(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_refusal text, p_user uuid,
  p_price integer, p_production_id uuid
) returns jsonb
language plpgsql
set search_path = '' set jit = 'off' set enable_seqscan = 'off' as $$
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
  select target, delivered_images, unit_price into v_stage from public.quel_job_stages
  where job_id = p_job_id and stage_index = p_stage_index;
  -- The target, not the quantity: a stage's part of max_credits is never taken by another stage.
  if not found or v_stage.delivered_images >= v_stage.target then
    return jsonb_build_object(
      'settlement', 'stage_full', 'reason', 'the stage has all it may deliver already');
  end if;
  v_refusal := public.darkroom_deliver(
    p_job_id, p_stage_index, array[p_ordinal], array[v_image.attach_id::bigint], p_run_id, p_user,
    coalesce(v_stage.unit_price, p_price), p_production_id);
  if v_refusal is not null then
    return jsonb_build_object('settlement', 'insufficient', 'reason', v_refusal);
  end if;
  return jsonb_build_object('settlement', 'settled', 'attach_id', v_image.attach_id, 'row_trails', true);
end
$$;

-- Settle several images of a stage at once where nothing stands in the way of any; null, and nothing done, where one has
-- to be looked at by itself. The caller holds the job's row, whose run may settle.
create or replace function public.darkroom_settle_at_once(
  p_job_id uuid, p_stage_index integer, p_ordinals integer[], p_run_id text, p_user uuid, p_price integer,
  p_production_id uuid
) returns jsonb[]
language plpgsql
set search_path = '' set plan_cache_mode = 'force_generic_plan' set jit = 'off' set enable_seqscan = 'off' as $$
declare
  v_stage record;
  v_attach_ids bigint[];
  v_refusal text;
begin
  select target, delivered_images, unit_price into v_stage from public.quel_job_stages
  where job_id = p_job_id and stage_index = p_stage_index;
  if not found or v_stage.delivered_images + cardinality(p_ordinals) > v_stage.target then
    return null;
  end if;
  -- Of an ordinal that is named twice there is one picture: then these are fewer.
  select array_agg(attach_id order by array_position(p_ordinals, ordinal)) into v_attach_ids from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = any (p_ordinals) and delivered_at is null;
  if cardinality(v_attach_ids) is distinct from cardinality(p_ordinals) then
    return null;
  end if;
  v_refusal := public.darkroom_deliver(
    p_job_id, p_stage_index, p_ordinals, v_attach_ids, p_run_id, p_user, coalesce(v_stage.unit_price, p_price),
    p_production_id);
  if v_refusal is not null then
    return null;
  end if;
  return array(
    select jsonb_build_object('settlement', 'settled', 'attach_id', attach_id, 'row_trails', true)
    from unnest(v_attach_ids) with ordinality as settled (attach_id, place) order by place);
end
$$;

-- Settle several images of a stage, in this order, and bring the job's row up to date at most once: all at once where
-- that can be, else one after another. An error of one image is its own: it changes nothing, and the others are settled.
-- What passes fails the call.
create or replace function public.darkroom_settle_group(
  p_job_id uuid, p_stage_index integer, p_run_id text, p_ordinals integer[]
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_refusal text;
  v_ordinal integer;
  v_settled jsonb;
  v_results jsonb[];
  v_new boolean := true;
  v_trails jsonb := '{}';
begin
  select job_status::text, current_run_id, quel_member_id, production_id, unit_price, refreshed_at into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  if v_refusal is null and cardinality(p_ordinals) > 1 then
    begin
      set constraints all deferred;
      v_results := public.darkroom_settle_at_once(
        p_job_id, p_stage_index, p_ordinals, p_run_id, v_job.quel_member_id, v_job.unit_price, v_job.production_id);
      set constraints all immediate;  -- what is checked at the end of a transaction would fail all of them
    exception when others or assert_failure then
      if public.darkroom_passes(sqlstate) then
        raise;
      end if;
      v_results := null;  -- one of them is to blame, and the others are none the worse
    end;
  end if;
  if v_results is null then
    v_results := '{}';
    v_new := false;
    foreach v_ordinal in array p_ordinals loop
      begin
        set constraints all deferred;
        v_settled := public.darkroom_settle_image(
          p_job_id, p_stage_index, v_ordinal, p_run_id, v_refusal,
          v_job.quel_member_id, v_job.unit_price, v_job.production_id);
        v_new := v_new or v_settled ? 'row_trails';
        set constraints all immediate;
      exception when others or assert_failure then
        if public.darkroom_passes(sqlstate) then
          raise;
        end if;
        v_settled := jsonb_build_object('settlement', 'refused', 'code', sqlstate, 'message', sqlerrm);
      end;
      v_results := array_append(v_results, v_settled);
    end loop;
  end if;
  if v_new and not public.darkroom_row_trails(p_job_id, v_job.refreshed_at) then
    v_trails := '{"row_trails": false}';
  end if;
  return (
    select coalesce(jsonb_agg(
      settled.result || case when settled.result ? 'row_trails' then v_trails else '{}' end
        || case when settled.result->>'settlement' = 'settled' then jsonb_build_object('call_ids', (
          select coalesce(jsonb_agg(call_id), '[]') from public.quel_generation_attempts
          where job_id = p_job_id and stage_index = p_stage_index
            and ordinal = p_ordinals[settled.place::integer])) else '{}' end
      order by settled.place), '[]')
    from unnest(v_results) with ordinality as settled (result, place));
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261129130000') on conflict do nothing;

notify pgrst, 'reload schema';
