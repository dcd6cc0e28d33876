-- Reasons are counted in characters, and cut in their middle: what to do stands at their end.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

drop function if exists public.darkroom_shorten(text, integer);

-- A reason of at most so many characters, and bytes, that still ends in its remedy: what is cut, and visibly so, is the
-- middle, where the words of others are quoted. The remedy is what follows the last semicolon; without one, half of
-- what is kept comes from the end.
create or replace function public.darkroom_shorten(p_text text, p_longest integer, p_bytes integer) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v_from_end integer := strpos(reverse(p_text), ' ;');
  v_remedy text := case when v_from_end > 0 then right(p_text, v_from_end + 1) else '' end;
  v_tail text;
  v_kept integer := least(p_longest, length(p_text));
  v_cut text := p_text;
begin
  while length(v_cut) > p_longest or octet_length(v_cut) > p_bytes loop
    v_tail := case
      when v_remedy <> '' and length(v_remedy) <= v_kept * 3 / 4 then v_remedy
      else right(p_text, v_kept / 2) end;
    v_cut := left(p_text, greatest(0, v_kept - 1 - length(v_tail))) || '…' || v_tail;
    v_kept := v_kept - 1;
  end loop;
  return v_cut;
end
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
      format('stage %s: %s', stage_index, public.darkroom_shorten(reason, 270 / shown::integer - 13, null)),
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

-- End the job under this run; closed before, it gives the same receipt again.
create or replace function public.darkroom_close_run(
  p_job_id uuid, p_run_id text, p_end text, p_error_message text, p_stages jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_receipt jsonb;
  v_refusal text;
  v_ids jsonb;
  v_delivered integer;
  v_status text;
  v_missing jsonb;
  v_error text := nullif(p_error_message, '');
  v_released integer;
  v_now timestamptz;
begin
  select job_status, current_run_id, job_type, coalesce(total_images, 0) as total_images, unit_price, production_id
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
  set job_status = v_status, error_message = v_error, completed_at = v_now, updated_at = v_now,
    failed_images = case when v_status = 'cancelled' then 0 else total_images - v_delivered end,
    paused = false, paused_by_user = false, quota_until = null, pause_reason = null
  where job_id = p_job_id;
  perform public.darkroom_update_production(v_job.production_id, v_status, v_ids);
  v_receipt := jsonb_build_object(
    'job_id', p_job_id, 'job_type', coalesce(v_job.job_type, ''), 'status', v_status,
    'ordered', v_job.total_images, 'delivered', v_delivered, 'missing', v_missing,
    'unit_price', coalesce(v_job.unit_price, 0),
    'error_message', public.darkroom_shorten(v_error, 300, null),
    'total', public.darkroom_tally(p_job_id, null), 'last_run', public.darkroom_tally(p_job_id, p_run_id));
  update public.quel_job_runs set receipt = v_receipt where run_id = p_run_id;
  return v_receipt;
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127110000') on conflict do nothing;

notify pgrst, 'reload schema';
