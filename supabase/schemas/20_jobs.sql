-- Jobs come to life: stored as pending, opened by a run, told to pause or to stop.

-- What a job's order is read from: the document as it came, and whether its stages are stored already.
create or replace function public.darkroom_order_source(p_job_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_source jsonb;
begin
  select jsonb_build_object(
    'job_id', job.job_id, 'job_type', coalesce(job.order_type, job.job_type), 'user_id', job.quel_member_id,
    'production_id', job.production_id, 'document', job.job_input_data,
    'opened', exists (select 1 from public.quel_job_stages as stage where stage.job_id = job.job_id))
    || case when job.org_id is null then '{}' else jsonb_build_object('org_id', job.org_id) end
    || coalesce((
      select jsonb_build_object('inserted_by', jsonb_build_object('user_id', inserted.user_id))
      from public.quel_job_inserts as inserted where inserted.job_id = job.job_id and inserted.by_user), '{}')
  into v_source from public.quel_production_jobs as job where job.job_id = p_job_id;
  if v_source is null then
    perform public.darkroom_not_found(p_job_id);
  end if;
  return v_source;
end
$$;

-- Why a run may not open the job at all; null when it may.
create or replace function public.darkroom_turn_away(
  p_job_id uuid, p_job_status text, p_failed_images integer, p_started_at timestamptz, p_restart boolean
) returns text
language plpgsql stable set search_path = '' as $$
begin
  if exists (
    select 1 from public.quel_job_runs where job_id = p_job_id and started_at > p_started_at
  ) then
    return 'a newer run of the job has taken over';
  end if;
  if p_job_status in ('pending', 'processing') then
    -- Darkroom takes a job from `pending` to `processing` with its run; without one, somebody else has begun it.
    return (
      select 'another worker has begun the job' from public.quel_production_jobs
      where job_id = p_job_id and p_job_status = 'processing' and current_run_id is null);
  end if;
  if exists (select from public.quel_deleted_jobs where job_id = p_job_id) then
    return 'the job was deleted; its pictures and prompts are gone';
  end if;
  if not p_restart then
    return format('the job is %s; only a restart opens it again', p_job_status);
  end if;
  if p_job_status = 'completed' and p_failed_images = 0 then
    return 'everything is delivered; nothing is left to restart';
  end if;
  return null;
end
$$;

-- The stages and terms of the first opening; they hold for every restart. So does who pays: the hold says it.
create or replace function public.darkroom_store_order(p_job_id uuid, p_order jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.quel_job_stages (
    job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images,
    format, image_size, unit_price)
  select p_job_id, stage.stage_index, stage.label, stage.prompt, stage.quantity, stage.target,
    stage.aspect_ratio, stage."references", stage.format, stage.image_size, stage.unit_price
  from jsonb_to_recordset(p_order->'stages') as stage (
    stage_index integer, label text, prompt text, quantity integer, target integer, aspect_ratio text,
    "references" jsonb, format text, image_size text, unit_price integer);
  update public.quel_production_jobs
  set job_type = coalesce(job_type, p_order->>'job_type'),
    order_type = nullif(p_order->>'job_type', coalesce(job_type, p_order->>'job_type')),
    quel_member_id = (p_order->>'user_id')::uuid, org_id = coalesce((p_order->>'org_id')::uuid, org_id),
    production_id = coalesce((p_order->>'production_id')::uuid, production_id),
    total_images = (p_order->>'total_images')::integer,
    unit_price = (p_order->>'unit_price')::integer, max_top_ups = (p_order->>'max_top_ups')::integer,
    max_credits = (p_order->>'max_credits')::integer, provider = p_order->>'provider',
    priority = (p_order->>'priority')::integer, book_id = (p_order->>'book_id')::uuid,
    webhook_url = p_order->>'webhook_url', job_name = coalesce(job_name, p_order->>'name')
  where job_id = p_job_id;
  perform public.darkroom_note_words(p_job_id);
  insert into public.quel_credit_holds (job_id, quel_member_id, org_id, amount)
  select job_id, quel_member_id, org_id, 0 from public.quel_production_jobs
  where job_id = p_job_id and quel_member_id is not null
  on conflict (job_id) do nothing;
end
$$;

-- Close whatever run the job has, and make this one its run.
create or replace function public.darkroom_take_over(
  p_job_id uuid, p_run_id text, p_started_at timestamptz, p_restart boolean, p_failure text
) returns void
language plpgsql set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  update public.quel_job_runs set closed_at = v_now where job_id = p_job_id and closed_at is null;
  insert into public.quel_job_runs (run_id, job_id, started_at, opened_at, failure)
  values (p_run_id, p_job_id, p_started_at, v_now, p_failure);
  update public.quel_production_jobs
  set job_status = 'processing', current_run_id = p_run_id, error_message = null, failed_images = 0,
    completed_at = null, started_at = coalesce(started_at, v_now), updated_at = v_now,
    retry_count = coalesce(retry_count, 0) + p_restart::integer, control_version = 0, failing = false
  where job_id = p_job_id;
  update public.quel_job_stages set stage_status = 'waiting', reason = null where job_id = p_job_id;
  if p_restart then
    -- A restart is a fresh wish; a run that only takes over after a crash keeps the pause it finds.
    update public.quel_production_jobs
    set paused = false, paused_by_user = false, pause_reason = null, quota_until = null,
      cancel_requested = false, cancel_reason = null
    where job_id = p_job_id;
    update public.quel_job_requests set applied_at = v_now where job_id = p_job_id and applied_at is null;
  end if;
end
$$;

-- What a run needs to know, in numbers. A worker of before knows nothing of webhooks: without one it is not told.
create or replace function public.darkroom_plan(p_job_id uuid, p_failure text, p_provider text) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'failure', p_failure, 'job_type', coalesce(job.order_type, job.job_type, ''), 'user_id', job.quel_member_id,
    'total_images', coalesce(job.total_images, 0), 'max_top_ups', coalesce(job.max_top_ups, 0),
    'providers', string_to_array(coalesce(job.provider, p_provider), ','), 'started_at', job.started_at,
    'control', jsonb_build_object(
      'version', job.control_version, 'paused', job.paused_by_user, 'quota_until', job.quota_until,
      'reason', case when job.cancel_requested then job.cancel_reason else job.pause_reason end,
      'cancel_requested', job.cancel_requested, 'failing', job.failing, 'request', coalesce((
        select max(number) from public.quel_job_requests
        where job_id = p_job_id and applied_at is not null), 0)),
    'stages', coalesce((
      select jsonb_agg(jsonb_build_object(
        'stage_index', stage.stage_index, 'label', stage.label, 'quantity', stage.quantity,
        'target', stage.target, 'counts', public.darkroom_stage_counts(p_job_id, stage.stage_index)
      ) order by stage.stage_index)
      from public.quel_job_stages as stage where stage.job_id = p_job_id), '[]'))
    || case when job.webhook_url is null then '{}' else jsonb_build_object('webhook', true) end
  from public.quel_production_jobs as job where job.job_id = p_job_id
$$;

-- Open a run, or say why not; the same run asked again gets the same answer.
create or replace function public.darkroom_open_run(
  p_job_id uuid, p_run_id text, p_started_at timestamptz, p_restart boolean,
  p_order jsonb, p_provider text, p_rejection text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_status text;
  v_failed integer;
  v_current text;
  v_before boolean;
  v_known record;
  v_turned_away text;
  v_failure text;
begin
  select public.darkroom_status(job_status::text), coalesce(failed_images, 0), current_run_id,
    coalesce(generated_attach_ids, 'null') not in ('null', '[]')
  into v_status, v_failed, v_current, v_before
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  select closed_at, failure into v_known from public.quel_job_runs where run_id = p_run_id;
  if found then
    if v_known.closed_at is not null or v_current is distinct from p_run_id then
      return jsonb_build_object('turned_away', 'this run of the job is closed');
    end if;
    return public.darkroom_plan(p_job_id, v_known.failure, p_provider);
  end if;
  v_turned_away := public.darkroom_turn_away(p_job_id, v_status, v_failed, p_started_at, p_restart);
  if v_turned_away is null and v_current is null and v_before then
    -- Which of its pictures belong to which stage nobody knows: a run would forget them and make them all again.
    v_turned_away := 'the job has images of before Darkroom; order what is missing as a new job';
  end if;
  if v_turned_away is not null then
    return jsonb_build_object('turned_away', v_turned_away);
  end if;
  if p_order is not null and not exists (select 1 from public.quel_job_stages where job_id = p_job_id) then
    perform public.darkroom_store_order(p_job_id, p_order);
  end if;
  v_failure := p_rejection;
  if v_failure is null then
    v_failure := public.darkroom_set_hold(p_job_id);
  end if;
  perform public.darkroom_take_over(p_job_id, p_run_id, p_started_at, p_restart, v_failure);
  perform public.darkroom_refresh_row(p_job_id);
  return public.darkroom_plan(p_job_id, v_failure, p_provider);
end
$$;

-- Number what a client asks of a job. It is new when it changes what the row and the requests before it ask for.
create or replace function public.darkroom_take_request(p_job_id uuid, p_request text, p_reason text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_last text;
  v_cancelled boolean;
  v_changed boolean;
  v_number integer;
begin
  select job_status::text, cancel_requested, paused, paused_by_user into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  if v_job.job_status not in ('pending', 'processing') then
    return jsonb_build_object('number', null, 'changed', false);
  end if;
  select request into v_last from public.quel_job_requests
  where job_id = p_job_id and applied_at is null and request <> 'cancel' order by number desc limit 1;
  v_cancelled := v_job.cancel_requested or exists (
    select 1 from public.quel_job_requests where job_id = p_job_id and applied_at is null and request = 'cancel');
  v_changed := not v_cancelled and case p_request
    when 'cancel' then true
    when 'pause' then not coalesce(v_last = 'pause', v_job.paused_by_user)
    else coalesce(v_last = 'pause', v_job.paused) end;
  insert into public.quel_job_requests (job_id, number, request, reason, requested_at)
  select p_job_id, coalesce(max(number), 0) + 1, p_request, p_reason, clock_timestamp()
  from public.quel_job_requests where job_id = p_job_id
  returning number into v_number;
  return jsonb_build_object('number', v_number, 'changed', v_changed);
end
$$;

-- Forget a request that could not be sent.
create or replace function public.darkroom_withdraw_request(p_job_id uuid, p_number integer) returns void
language sql security definer set search_path = '' as $$
  delete from public.quel_job_requests where job_id = p_job_id and number = p_number and applied_at is null
$$;

-- Write what was asked; an older version never replaces a newer one. Answers the version that is there then, or null
-- when another run has the job.
create or replace function public.darkroom_apply_control(p_job_id uuid, p_run_id text, p_control jsonb)
returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_user_paused boolean := (p_control->>'paused')::boolean;
  v_quota_until timestamptz := (p_control->>'quota_until')::timestamptz;
  v_cancel boolean := (p_control->>'cancel_requested')::boolean;
  v_paused boolean := v_user_paused or v_quota_until is not null;
begin
  select job_status::text, current_run_id, control_version into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  if public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id) is not null then
    return null;
  end if;
  if (p_control->>'version')::integer <= v_job.control_version then
    return v_job.control_version;
  end if;
  update public.quel_production_jobs
  set paused = v_paused, paused_by_user = v_user_paused, quota_until = v_quota_until,
    pause_reason = case when v_paused then p_control->>'reason' end,
    cancel_requested = v_cancel, cancel_reason = case when v_cancel then p_control->>'reason' end,
    failing = (p_control->>'failing')::boolean, control_version = (p_control->>'version')::integer,
    updated_at = clock_timestamp()
  where job_id = p_job_id;
  -- An earlier worker's control tells no request.
  update public.quel_job_requests set applied_at = clock_timestamp()
  where job_id = p_job_id and number <= (p_control->>'request')::integer and applied_at is null;
  perform public.darkroom_refresh_row(p_job_id);
  return (p_control->>'version')::integer;
end
$$;

-- The same for earlier workers, which hear only whether it is written.
create or replace function public.darkroom_set_control(p_job_id uuid, p_run_id text, p_control jsonb)
returns boolean
language sql security definer set search_path = '' as $$
  select coalesce(
    public.darkroom_apply_control(p_job_id, p_run_id, p_control) = (p_control->>'version')::integer, false)
$$;

-- End a job that no run has opened; the run that may come late is turned away.
create or replace function public.darkroom_cancel_pending(p_job_id uuid, p_reason text) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
  v_status text;
  v_production uuid;
  v_cancelled public.quel_production_jobs.job_status%type := public.darkroom_word('job_status', 'cancelled');
begin
  select job_status::text, production_id into v_status, v_production
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  if v_status <> 'pending' then
    return false;
  end if;
  update public.quel_production_jobs
  set job_status = v_cancelled, cancel_requested = true, cancel_reason = p_reason, completed_at = v_now,
    updated_at = v_now
  where job_id = p_job_id;
  perform public.darkroom_update_production(v_production, 'cancelled', '[]');
  return true;
end
$$;
