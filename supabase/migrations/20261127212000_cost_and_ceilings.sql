-- What provider calls cost, in US dollars, and daily ceilings of that and of what users order.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

alter table public.quel_generation_attempts add column if not exists cost_usd numeric;
alter table public.quel_generation_attempts add column if not exists quel_member_id uuid;
alter table public.quel_generation_attempts add column if not exists credits integer;

create index if not exists quel_generation_attempts_cost
  on public.quel_generation_attempts (provider, started_at) include (cost_usd, outcome);
create index if not exists quel_generation_attempts_member
  on public.quel_generation_attempts (quel_member_id, started_at) where quel_member_id is not null;

drop function if exists public.darkroom_begin_attempt(
  uuid, integer, integer, text, uuid, integer, text, integer, boolean, text, boolean, text, timestamptz);
drop function if exists public.darkroom_finish_attempt(uuid, text, text, boolean, double precision);
drop function if exists public.darkroom_attach_image(
  uuid, integer, integer, text, uuid, uuid, double precision, text, integer, text);
drop function if exists public.darkroom_attach(
  uuid, integer, integer, text, uuid, double precision, text, integer, text);
drop function if exists public.darkroom_tally(uuid, text);
drop function if exists public.darkroom_close_run(uuid, text, text, text, jsonb);
drop function if exists public.darkroom_end_run(uuid, text, text, text, jsonb, text);
drop function if exists public.darkroom_statistics(date);

-- Which daily ceiling allows no further call, and until when; null where one may begin. Calls of today (UTC) count at what
-- they cost, and at a price by setting while nobody knows that; a user's pictures that were begun and may be delivered
-- count at their price, each once. Calls in progress may turn out to count for less: then it is asked again soon.
-- Planned for each call: how many calls a provider or a user has of a day differs too much for one plan.
create or replace function public.darkroom_reached_ceiling(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_provider text, p_user uuid, p_credits integer,
  p_ceilings jsonb
) returns jsonb
language plpgsql
set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_now timestamptz;
  v_began timestamptz;
  v_reached text;
  v_call numeric := p_ceilings->>'call_usd';
  v_usd numeric := p_ceilings->>'provider_usd';
  v_credits numeric := p_ceilings->>'user_credits';
  v_all numeric;
  v_ended numeric;
  v_may_free boolean;
begin
  -- One call after another, until the row of the one before is there for all: what follows sees it.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom ceilings', 0));
  v_now := clock_timestamp();
  v_began := date_trunc('day', v_now at time zone 'utc') at time zone 'utc';
  if v_usd is not null then
    select coalesce(sum(coalesce(cost_usd, v_call)), 0),
      coalesce(sum(coalesce(cost_usd, v_call)) filter (where outcome is not null), 0) into v_all, v_ended
    from public.quel_generation_attempts where provider = p_provider and started_at >= v_began;
    if v_all + v_call > v_usd then
      v_reached := 'provider';
      v_may_free := v_ended + v_call <= v_usd;
    end if;
  end if;
  if v_reached is null and v_credits is not null and p_user is not null and p_credits > 0 then
    select coalesce(sum(credits), 0), coalesce(sum(credits) filter (where ended), 0) into v_all, v_ended
    from (
      select max(credits) as credits, bool_or(outcome is not null) as ended from public.quel_generation_attempts
      where quel_member_id = p_user and started_at >= v_began and (outcome is null or outcome = 'generated')
        and (job_id, stage_index, ordinal) <> (p_job_id, p_stage_index, p_ordinal)
      group by job_id, stage_index, ordinal
    ) as picture;
    if v_all + p_credits > v_credits then
      v_reached := 'user';
      v_may_free := v_ended + p_credits <= v_credits;
    end if;
  end if;
  if v_reached is null then
    return null;
  end if;
  return jsonb_build_object('begin', 'spent', 'spent', jsonb_build_object(
    'ceiling', v_reached, 'may_free', v_may_free,
    'until', case when v_may_free then v_now + interval '1 minute' else v_began + interval '1 day' end));
end
$$;

-- Answer what is delivered or decided, refuse, say where to look, or write the attempt's row before the call.
create or replace function public.darkroom_begin_attempt(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_round integer, p_provider text, p_attempt integer, p_looked boolean,
  p_model text default null, p_calls boolean default false, p_worker text default null,
  p_taken_at timestamptz default null, p_ceilings jsonb default null
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
  v_stage record;
  v_spent jsonb;
begin
  select attach_id into v_attach_id from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and delivered_at is not null;
  if found then
    return jsonb_build_object('begin', 'delivered', 'attach_id', v_attach_id);
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
language plpgsql set search_path = '' as $$
declare
  v_attach_id bigint;
  v_name text := regexp_replace(p_path, '^.*/', '');
  v_source record;
begin
  select attach_id into v_attach_id from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and delivered_at is not null;
  if not found then
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

-- What the calls of a job cost, or those of one run of it, by what became of them (Cause in darkroom/domain/costs.py).
-- Pictures that are not delivered are the generated ones less those that are: held against each other one by one, a large
-- job would take minutes.
create or replace function public.darkroom_costs(p_job_id uuid, p_run_id text) returns jsonb
language sql stable set search_path = '' as $$
  with asked as (
    select coalesce(case when outcome in ('missed', 'refused', 'generated') or outcome is null then outcome else 'fault' end,
        'unknown') as cause,
      count(*) as calls, coalesce(sum(cost_usd), 0) as usd, count(*) - count(cost_usd) as unknown
    from public.quel_generation_attempts
    where job_id = p_job_id and (p_run_id is null or run_id = p_run_id) group by 1
  ), delivered as (
    select count(*) as calls, coalesce(sum(made.cost_usd), 0) as usd, count(*) - count(made.cost_usd) as unknown
    from public.quel_attach as image cross join lateral (
      select call.cost_usd, call.run_id from public.quel_generation_attempts as call
      where call.job_id = image.job_id and call.stage_index = image.stage_index and call.ordinal = image.ordinal
        and call.outcome = 'generated'
      order by call.attempt_id desc limit 1
    ) as made
    where image.job_id = p_job_id and image.delivered_at is not null and (p_run_id is null or made.run_id = p_run_id)
  ), share as (
    select cause, calls, usd, unknown from asked where cause <> 'generated'
    union all
    select 'delivered', calls, usd, unknown from delivered
    union all
    select 'unused', asked.calls - delivered.calls, asked.usd - delivered.usd, asked.unknown - delivered.unknown
    from asked, delivered where cause = 'generated'
  )
  select jsonb_build_object('by_cause', coalesce(jsonb_object_agg(cause, jsonb_build_object(
    'calls', calls, 'usd', usd::text, 'unknown', unknown)), '{}'))
  from share where calls > 0
$$;

-- What was done and charged for the job, or for one run of it; what it cost for whoever knows of it.
create or replace function public.darkroom_tally(p_job_id uuid, p_run_id text, p_costs boolean) returns jsonb
language sql stable set search_path = '' as $$
  select attempts.tally || images.tally || runs.tally
    || jsonb_build_object('made_by', public.darkroom_made_by(p_job_id, p_run_id))
    || case when p_costs then jsonb_build_object('costs', public.darkroom_costs(p_job_id, p_run_id)) else '{}' end
  from (
    select jsonb_build_object(
      'provider_calls', count(*), 'unknown_calls', count(*) - count(outcome),
      'misses', count(*) filter (where outcome = 'missed'),
      'refusals', count(*) filter (where outcome = 'refused'),
      'faults', count(*) filter (where outcome = 'fault'),
      'top_up_rounds', count(distinct case when round > 0
        then run_id || '/' || stage_index || '/' || round end)) as tally
    from public.quel_generation_attempts
    where job_id = p_job_id and (p_run_id is null or run_id = p_run_id)
  ) as attempts, (
    select jsonb_build_object(
      'delivered', count(*), 'charged', coalesce(-sum(credit.amount), 0)) as tally
    from public.quel_attach as image
    left join public.quel_credits as credit
      on credit.idempotency_key = image.job_id || '/' || image.stage_index || '/' || image.ordinal
    where image.job_id = p_job_id and image.delivered_at is not null
      and (p_run_id is null or image.delivered_run = p_run_id)
  ) as images, (
    select jsonb_build_object(
      'released', coalesce(sum(released), 0),
      'seconds', coalesce(round(sum(extract(epoch from coalesce(closed_at, opened_at) - opened_at)), 3), 0)
    ) as tally
    from public.quel_job_runs
    where job_id = p_job_id and (p_run_id is null or run_id = p_run_id)
  ) as runs
$$;

-- End the job under this run; closed before, it gives the same receipt again.
create or replace function public.darkroom_close_run(
  p_job_id uuid, p_run_id text, p_end text, p_error_message text, p_stages jsonb, p_costs boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_receipt jsonb;
  v_refusal text;
  v_ids jsonb;
  v_delivered integer;
  v_status text;
  v_stored public.quel_production_jobs.job_status%type;
  v_missing jsonb;
  v_error text := nullif(p_error_message, '');
  v_released integer;
  v_now timestamptz;
begin
  select job_status::text, current_run_id, coalesce(order_type, job_type) as job_type,
    coalesce(total_images, 0) as total_images, unit_price, production_id
  into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  select receipt into v_receipt from public.quel_job_runs where run_id = p_run_id;
  if v_receipt is not null then
    return v_receipt;
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  if v_refusal is not null then
    raise sqlstate 'PT409' using message = format('job %s cannot be closed: %s', p_job_id, v_refusal);
  end if;
  v_ids := public.darkroom_refresh_row(p_job_id);
  v_delivered := jsonb_array_length(v_ids);
  v_status := case
    when p_end = 'cancelled' then 'cancelled'
    when p_end = 'failed' or v_delivered = 0 then 'failed'
    else 'completed' end;
  v_stored := public.darkroom_word('job_status', v_status);
  update public.quel_job_stages as stage
  set stage_status = ended.status, reason = ended.reason
  from jsonb_to_recordset(p_stages) as ended (stage_index integer, status text, reason text)
  where stage.job_id = p_job_id and stage.stage_index = ended.stage_index;
  v_missing := public.darkroom_missing(p_job_id, v_error);
  if v_status = 'failed' and v_error is null then
    v_error := public.darkroom_nothing_delivered(v_missing);
  end if;
  v_released := public.darkroom_release_hold(p_job_id);
  v_now := clock_timestamp();
  update public.quel_job_runs set closed_at = v_now, released = v_released where run_id = p_run_id;
  update public.quel_production_jobs
  set job_status = v_stored, error_message = v_error, completed_at = v_now, updated_at = v_now,
    failed_images = case when v_status = 'cancelled' then 0 else total_images - v_delivered end,
    paused = false, paused_by_user = false, quota_until = null, pause_reason = null
  where job_id = p_job_id;
  perform public.darkroom_update_production(v_job.production_id, v_status, v_ids);
  v_receipt := jsonb_build_object(
    'job_id', p_job_id, 'job_type', coalesce(v_job.job_type, ''), 'status', v_status,
    'ordered', v_job.total_images, 'delivered', v_delivered, 'missing', v_missing,
    'unit_price', coalesce(v_job.unit_price, 0),
    'error_message', public.darkroom_shorten(v_error, 300, null),
    'total', public.darkroom_tally(p_job_id, null, p_costs),
    'last_run', public.darkroom_tally(p_job_id, p_run_id, p_costs))
    || coalesce((
      select jsonb_build_object('org_id', org_id) from public.quel_credit_holds
      where job_id = p_job_id and org_id is not null), '{}')
    || coalesce((
      select jsonb_build_object('prices', jsonb_agg(distinct coalesce(unit_price, v_job.unit_price, 0)))
      from public.quel_job_stages where job_id = p_job_id
      having count(distinct coalesce(unit_price, v_job.unit_price, 0)) > 1), '{}');
  update public.quel_job_runs set receipt = v_receipt where run_id = p_run_id;
  return v_receipt;
end
$$;

-- End the job under this run, with this word for cancelled; what somebody else wrote on its row stays, however it ends.
create or replace function public.darkroom_end_run(
  p_job_id uuid, p_run_id text, p_end text, p_error_message text, p_stages jsonb, p_cancelled text,
  p_costs boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_word text;
  v_open boolean;
  v_by_row boolean;
  v_receipt jsonb;
begin
  select job_status::text into v_word from public.quel_production_jobs where job_id = p_job_id for no key update;
  v_open := public.darkroom_is_open(p_run_id);
  v_by_row := v_open and v_word in ('cancelled', 'user_cancelled');
  v_receipt := public.darkroom_close_run(
    p_job_id, p_run_id, case when v_by_row then 'cancelled' else p_end end, p_error_message, p_stages, p_costs);
  v_word := case when v_by_row then v_word else p_cancelled end;
  if v_open and v_receipt->>'status' = 'cancelled' then
    perform public.darkroom_explain_cancel(p_job_id);
    if v_word <> 'cancelled' then
      perform public.darkroom_write_word(p_job_id, v_word);
    end if;
  end if;
  return v_receipt;
end
$$;

-- From the beginning of a day (UTC) on; a call counts on the day it began. What calls cost for whoever knows of it.
create or replace function public.darkroom_statistics(p_since date, p_costs boolean default false) returns jsonb
language sql stable security definer set search_path = '' as $$
  with call as (
    select *, (started_at at time zone 'utc')::date as day
    from public.quel_generation_attempts where started_at >= p_since::timestamp at time zone 'utc'
  ), delivered as (
    select call.day, call.provider, count(*) filter (where call.round > 0) as recovered,
      coalesce(-sum(credit.amount), 0) as credits,
      count(*) as calls, coalesce(sum(call.cost_usd), 0) as usd, count(*) - count(call.cost_usd) as unknown
    from call
    join public.quel_attach as image on image.job_id = call.job_id and image.stage_index = call.stage_index
      and image.ordinal = call.ordinal and image.delivered_at is not null
    left join public.quel_credits as credit
      on credit.idempotency_key = image.job_id || '/' || image.stage_index || '/' || image.ordinal
    where call.outcome = 'generated' and not exists (
      -- A delivered picture is that of the newest call that was generated for it.
      select from public.quel_generation_attempts as later
      where later.job_id = call.job_id and later.stage_index = call.stage_index and later.ordinal = call.ordinal
        and later.outcome = 'generated' and later.attempt_id > call.attempt_id)
    group by call.day, call.provider
  ), provider_days as (
    select day, provider, count(*) as calls,
      count(*) filter (where outcome = 'generated') as generated,
      count(*) filter (where outcome = 'missed') as missed,
      count(*) filter (where outcome = 'refused') as refused,
      count(*) filter (where outcome = 'fault') as faults,
      count(*) - count(outcome) as unknown,
      percentile_disc(0.5) within group (order by seconds) filter (where outcome = 'generated') as p50,
      percentile_disc(0.95) within group (order by seconds) filter (where outcome = 'generated') as p95,
      count(distinct case when round > 0 then run_id || '/' || stage_index || '/' || round end) as top_ups
    from call group by day, provider
  ), asked as (
    select day, provider, coalesce(
        case when outcome in ('missed', 'refused', 'generated') or outcome is null then outcome else 'fault' end,
        'unknown') as cause,
      count(*) as calls, coalesce(sum(cost_usd), 0) as usd, count(*) - count(cost_usd) as unknown
    from call group by 1, 2, 3
  ), share as (
    select day, provider, cause, calls, usd, unknown from asked where cause <> 'generated'
    union all
    select day, provider, 'delivered', calls, usd, unknown from delivered
    union all
    -- Generated, and not delivered.
    select day, provider, 'unused', asked.calls - coalesce(delivered.calls, 0), asked.usd - coalesce(delivered.usd, 0),
      asked.unknown - coalesce(delivered.unknown, 0)
    from asked left join delivered using (day, provider) where cause = 'generated'
  ), spent as (
    select day, provider, jsonb_build_object('costs', jsonb_build_object('by_cause', jsonb_object_agg(
      cause, jsonb_build_object('calls', calls, 'usd', usd::text, 'unknown', unknown)))) as costs
    from share where p_costs and calls > 0 group by day, provider
  ), job_days as (
    select (completed_at at time zone 'utc')::date as day,
      count(*) filter (where job_status = 'completed') as completed,
      count(*) filter (where job_status = 'failed') as failed,
      count(*) filter (where job_status::text in ('cancelled', 'user_cancelled')) as cancelled
    from public.quel_production_jobs
    where completed_at >= p_since::timestamp at time zone 'utc' group by 1
  )
  select jsonb_build_object(
    'providers', coalesce((
      select jsonb_agg(jsonb_build_object(
        'day', day, 'provider', provider, 'calls', calls, 'generated', generated, 'missed', missed,
        'refused', refused, 'faults', faults, 'unknown', unknown, 'seconds_p50', p50, 'seconds_p95', p95,
        'top_up_rounds', top_ups, 'recovered_images', coalesce(recovered, 0), 'credits', coalesce(credits, 0)
      ) || coalesce(costs, '{}') order by day desc, provider)
      from provider_days left join (select day, provider, recovered, credits from delivered) as made using (day, provider)
        left join spent using (day, provider)), '[]'),
    'jobs', coalesce((
      select jsonb_agg(jsonb_build_object(
        'day', day, 'completed', completed, 'failed', failed, 'cancelled', cancelled) order by day desc)
      from job_days), '[]'))
$$;

-- Why a job delivered nothing, from what its stages are missing: each reason once, three at most.
create or replace function public.darkroom_nothing_delivered(p_missing jsonb) returns text
language sql immutable set search_path = '' as $$
  select 'nothing was delivered: ' || coalesce(case max(reasons)
    when 1 then min(reason)
    else string_agg(
      format('stage %s: %s', stage_index + 1, public.darkroom_shorten(reason, 270 / shown::integer - 13, null)),
      '; ' order by stage_index) end, '')
  from (
    select reason, stage_index, count(*) over () as reasons, least(3, count(*) over ()) as shown
    from (
      select short->>'reason' as reason, min((short->>'stage_index')::integer) as stage_index
      from jsonb_array_elements(p_missing) as listed (short) group by 1
    ) as each_once
    order by stage_index limit 3
  ) as first_ones
$$;

-- Each line names one thing that is broken; without any, all is as it should be.
create or replace function public.darkroom_audit() returns jsonb
language sql stable security definer set search_path = '' as $$
  with delivered as (
    select job_id, count(*) as images from public.quel_attach
    where delivered_at is not null and job_id is not null group by job_id
  ), charged as (
    select job_id, attach_idx, count(*) as charges from public.quel_credits
    where transaction_type = 'DEDUCT' and idempotency_key is not null and job_id is not null
    group by job_id, attach_idx
  ), ours as (
    select * from public.quel_production_jobs where current_run_id is not null
  ), found (line) as (
    select format('member %s: balance %s is not opening balance + journal = %s',
      member.quel_member_id, quel_member_credit, opening_balance + coalesce(journal.amount, 0))
    from public.quel_member as member
    left join (
      select user_id as quel_member_id, sum(amount) as amount from public.quel_credits
      where org_id is null group by user_id
    ) as journal using (quel_member_id)
    where quel_member_credit <> opening_balance + coalesce(journal.amount, 0)
    union all
    select format('member %s: the balance %s is below 0', quel_member_id, quel_member_credit)
    from public.quel_member where quel_member_credit < 0
    union all
    select format('organization %s: balance %s is not opening balance + journal = %s',
      organization.org_id, coalesce(org_credit, 0), coalesce(opening_balance, 0) + coalesce(journal.amount, 0))
    from public.quel_organization as organization
    left join public.quel_organization_opening using (org_id)
    left join (
      select org_id, sum(amount) as amount from public.quel_credits where org_id is not null group by org_id
    ) as journal using (org_id)
    where coalesce(org_credit, 0) <> coalesce(opening_balance, 0) + coalesce(journal.amount, 0)
    union all
    select format('organization %s: the balance %s is below 0', org_id, org_credit)
    from public.quel_organization where org_credit < 0
    union all
    select format('job %s: %s is to pay, but attachment %s was charged to %s', hold.job_id,
      coalesce('organization ' || hold.org_id, 'member ' || hold.quel_member_id), credit.attach_idx,
      coalesce('organization ' || credit.org_id, 'member ' || credit.user_id))
    from public.quel_credit_holds as hold join public.quel_credits as credit using (job_id)
    where credit.transaction_type = 'DEDUCT' and credit.idempotency_key is not null
      and (hold.org_id, hold.quel_member_id) is distinct from (credit.org_id, credit.user_id)
    union all
    select format('job %s: %s images are delivered, %s are charged',
      job_id, delivered.images, coalesce(journal.charges, 0))
    from ours join delivered using (job_id)
    left join (
      select job_id, count(*) as charges from public.quel_credits
      where transaction_type = 'DEDUCT' group by job_id
    ) as journal using (job_id)
    where quel_member_id is not null and delivered.images <> coalesce(journal.charges, 0)
    union all
    select format('job %s: attachment %s was charged without being delivered', charged.job_id, attach_idx)
    from charged left join public.quel_attach as image on image.attach_id = attach_idx
    where image.delivered_at is null
    union all
    select format('job %s: attachment %s was charged %s times', job_id, attach_idx, charges)
    from charged where charges > 1
    union all
    select format('job %s: its row lists %s times attachment %s, of which %s are delivered images of the job',
      ours.job_id, count(*), listed.id, count(image.attach_id))
    from ours cross join jsonb_array_elements_text(generated_attach_ids) as listed (id)
    left join public.quel_attach as image on image.attach_id = listed.id::bigint
      and image.job_id = ours.job_id and image.delivered_at is not null
    group by ours.job_id, listed.id having count(*) <> 1 or count(image.attach_id) <> 1
    union all
    select format('job %s: completed_images is %s, but %s ids are listed',
      job_id, completed_images, jsonb_array_length(generated_attach_ids))
    from ours where completed_images <> jsonb_array_length(generated_attach_ids)
    union all
    select format('job %s: ended with completed_images %s, but %s images are delivered',
      job_id, completed_images, coalesce(delivered.images, 0))
    from ours left join delivered using (job_id)
    where public.darkroom_is_over(job_status::text, current_run_id)
      and completed_images <> coalesce(delivered.images, 0)
    union all
    select format('job %s, stage %s: counts %s delivered images, but has %s',
      stage.job_id, stage.stage_index + 1, stage.delivered_images, coalesce(counted.images, 0))
    from public.quel_job_stages as stage
    left join (
      select job_id, stage_index, count(*) as images from public.quel_attach
      where delivered_at is not null and job_id is not null group by job_id, stage_index
    ) as counted using (job_id, stage_index)
    where stage.delivered_images <> coalesce(counted.images, 0)
    union all
    select format('job %s: has ended, but its hold of %s credits is open', job_id, amount)
    from public.quel_credit_holds join public.quel_production_jobs using (job_id)
    where released_at is null and public.darkroom_is_over(job_status::text, current_run_id)
    union all
    select format('job %s: its open hold is %s, but %s missing images cost %s',
      hold.job_id, hold.amount, stages.missing, stages.due)
    from public.quel_credit_holds as hold join ours using (job_id)
    join (
      select stage.job_id, sum(target - delivered_images) as missing,
        sum((target - delivered_images)::bigint * coalesce(stage.unit_price, job.unit_price)) as due
      from public.quel_job_stages as stage join public.quel_production_jobs as job using (job_id) group by stage.job_id
    ) as stages using (job_id)
    join public.quel_job_runs as run on run.run_id = ours.current_run_id
    where hold.released_at is null and run.failure is null
      and hold.amount <> stages.due
  )
  select coalesce(jsonb_agg(line), '[]') from found
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127212000') on conflict do nothing;

notify pgrst, 'reload schema';
