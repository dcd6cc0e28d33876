-- A run ends: final row, production row, release of the hold, receipt (spec §§2, 4).

-- Which provider made how many. A delivered picture is that of the newest call that was generated for it; each is
-- looked up by itself, because a plan made before a large job was counted would hold all pictures against all calls.
create or replace function public.darkroom_made_by(p_job_id uuid, p_run_id text) returns jsonb
language sql stable set search_path = '' as $$
  with delivered as (
    select made.provider, count(*) as images
    from public.quel_attach as image cross join lateral (
      select call.provider from public.quel_generation_attempts as call
      where call.job_id = image.job_id and call.stage_index = image.stage_index and call.ordinal = image.ordinal
        and call.outcome = 'generated'
      order by call.attempt_id desc limit 1
    ) as made
    where image.job_id = p_job_id and image.delivered_at is not null
      and (p_run_id is null or image.delivered_run = p_run_id)
    group by made.provider
  ), asked as (
    select provider, count(*) as calls from public.quel_generation_attempts
    where job_id = p_job_id and (p_run_id is null or run_id = p_run_id) group by provider
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'provider', provider, 'calls', calls, 'delivered', coalesce(images, 0)) order by provider), '[]')
  from asked left join delivered using (provider)
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

-- What each stage is short of, and why, in the words of a receipt: at most 300 characters, and with many stages so many
-- bytes that they fit into a payload of a history (room_of_each in darkroom/domain/receipts.py).
create or replace function public.darkroom_missing(p_job_id uuid, p_error_message text) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'stage_index', stage_index, 'missing', quantity - delivered_images,
    'reason', public.darkroom_shorten(coalesce(
      nullif(reason, ''), nullif(p_error_message, ''),
      case when stage_status = 'cancelled' then 'cancelled' else 'not delivered' end),
      300, greatest(80, 8000 / listed.stages))
  ) order by stage_index), '[]')
  from (
    select stage_index, quantity, delivered_images, reason, stage_status, count(*) over ()::integer as stages
    from public.quel_job_stages where job_id = p_job_id and quantity > delivered_images
  ) as listed
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

-- The production gets the ids that it does not have yet, at its end; its status, where it has a word for it.
create or replace function public.darkroom_update_production(
  p_production_id uuid, p_status text, p_ids jsonb
) returns void
language plpgsql set search_path = '' as $$
declare
  v_there jsonb;
  v_new jsonb;
  v_status public.quel_production_photo.production_status%type := public.darkroom_word('production_status', p_status);
begin
  select coalesce(nullif(attach_ids, 'null'), '[]') into v_there
  from public.quel_production_photo where production_id = p_production_id for no key update;
  if not found then
    return;
  end if;
  select coalesce(jsonb_agg(listed.id order by listed.place), '[]') into v_new
  from jsonb_array_elements(p_ids) with ordinality as listed (id, place)
  where not exists (select 1 from jsonb_array_elements(v_there) as known (id) where known.id = listed.id);
  update public.quel_production_photo
  set attach_ids = v_there || v_new,
    generated_image_count = coalesce(generated_image_count, 0) + jsonb_array_length(v_new),
    production_status = coalesce(v_status, production_status), updated_at = clock_timestamp()
  where production_id = p_production_id;
end
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

-- Whether this run ended the job, completed or cancelled, or failed before a time, and no later run has opened it.
create or replace function public.darkroom_may_remove_leftovers(
  p_job_id uuid, p_run_id text, p_failed_before timestamptz
) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (
    select 1 from public.quel_production_jobs
    where job_id = p_job_id and current_run_id = p_run_id
      and public.darkroom_is_over(job_status::text, current_run_id)
      and (job_status::text <> 'failed' or completed_at < p_failed_before))
$$;

-- Delete the attachments of an ended job's images that were never delivered.
create or replace function public.darkroom_drop_undelivered(
  p_job_id uuid, p_run_id text, p_failed_before timestamptz
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform 1 from public.quel_production_jobs where job_id = p_job_id for no key update;
  if public.darkroom_may_remove_leftovers(p_job_id, p_run_id, p_failed_before) then
    delete from public.quel_attach where job_id = p_job_id and delivered_at is null;
  end if;
end
$$;
