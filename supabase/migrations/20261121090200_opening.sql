-- Jobs come to life: stored as pending, opened by a run, told to pause or to stop.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

create or replace function public.darkroom_create_job(p_job jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.quel_production_jobs (
    job_id, job_type, job_status, quel_member_id, production_id, job_input_data, total_images, priority,
    created_at, updated_at)
  values (
    (p_job->>'job_id')::uuid, p_job->>'job_type', 'pending', (p_job->>'user_id')::uuid,
    (p_job->>'production_id')::uuid, p_job->'document', (p_job->>'total_images')::integer,
    (p_job->>'priority')::integer, clock_timestamp(), clock_timestamp())
  on conflict (job_id) do nothing;
  return found;
end
$$;

create or replace function public.darkroom_order_source(p_job_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_source jsonb;
begin
  select jsonb_build_object(
    'job_id', job.job_id, 'job_type', job.job_type, 'user_id', job.quel_member_id,
    'production_id', job.production_id, 'document', job.job_input_data,
    'opened', exists (select 1 from public.quel_job_stages as stage where stage.job_id = job.job_id))
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
    return null;
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

-- The stages and terms of the first opening; they hold for every restart.
create or replace function public.darkroom_store_order(p_job_id uuid, p_order jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.quel_job_stages (
    job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images)
  select p_job_id, stage.stage_index, stage.label, stage.prompt, stage.quantity, stage.target,
    stage.aspect_ratio, stage."references"
  from jsonb_to_recordset(p_order->'stages') as stage (
    stage_index integer, label text, prompt text, quantity integer, target integer, aspect_ratio text,
    "references" jsonb);
  update public.quel_production_jobs
  set job_type = p_order->>'job_type', quel_member_id = (p_order->>'user_id')::uuid,
    production_id = (p_order->>'production_id')::uuid, total_images = (p_order->>'total_images')::integer,
    unit_price = (p_order->>'unit_price')::integer, max_top_ups = (p_order->>'max_top_ups')::integer,
    max_credits = (p_order->>'max_credits')::integer, provider = p_order->>'provider',
    priority = (p_order->>'priority')::integer, book_id = (p_order->>'book_id')::uuid
  where job_id = p_job_id;
end
$$;

-- Set aside what the missing images cost; gives the reason when the balance does not cover it.
create or replace function public.darkroom_set_hold(p_job_id uuid) returns text
language plpgsql set search_path = '' as $$
declare
  v_user uuid;
  v_price integer;
  v_balance integer;
  v_missing bigint;
  v_others bigint;
  v_need bigint;
  v_covered boolean;
begin
  select quel_member_id, coalesce(unit_price, 0) into v_user, v_price
  from public.quel_production_jobs where job_id = p_job_id;
  if v_user is null then
    return null;
  end if;
  -- The member's row is locked before the holds are added up: two jobs that open at once see each other.
  select coalesce(quel_member_credit, 0) into v_balance
  from public.quel_member where quel_member_id = v_user for no key update;
  if not found then
    return format('user %s has no member row; `starter.py credits grant %s N` creates one', v_user, v_user);
  end if;
  select coalesce(sum(greatest(0, target - delivered_images)), 0) into v_missing
  from public.quel_job_stages where job_id = p_job_id;
  select coalesce(sum(amount), 0) into v_others from public.quel_credit_holds
  where quel_member_id = v_user and released_at is null and job_id <> p_job_id;
  v_need := v_missing * v_price;
  v_covered := v_need <= v_balance - v_others;
  insert into public.quel_credit_holds (job_id, quel_member_id, amount)
  values (p_job_id, v_user, case when v_covered then v_need else 0 end)
  on conflict (job_id) do update set amount = excluded.amount, released_at = null;
  if v_covered then
    return null;
  end if;
  return format('insufficient credits: need %s, available %s', v_need, v_balance - v_others);
end
$$;

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
  end if;
end
$$;

-- What a run needs to know, in numbers.
create or replace function public.darkroom_plan(p_job_id uuid, p_failure text, p_provider text) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'failure', p_failure, 'job_type', coalesce(job.job_type, ''), 'user_id', job.quel_member_id,
    'total_images', coalesce(job.total_images, 0), 'max_top_ups', coalesce(job.max_top_ups, 0),
    'providers', string_to_array(coalesce(job.provider, p_provider), ','), 'started_at', job.started_at,
    'control', jsonb_build_object(
      'version', job.control_version, 'paused', job.paused_by_user, 'quota_until', job.quota_until,
      'reason', case when job.cancel_requested then job.cancel_reason else job.pause_reason end,
      'cancel_requested', job.cancel_requested, 'failing', job.failing),
    'stages', coalesce((
      select jsonb_agg(jsonb_build_object(
        'stage_index', stage.stage_index, 'label', stage.label, 'quantity', stage.quantity,
        'target', stage.target, 'counts', public.darkroom_stage_counts(p_job_id, stage.stage_index)
      ) order by stage.stage_index)
      from public.quel_job_stages as stage where stage.job_id = p_job_id), '[]'))
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
  select job_status, coalesce(failed_images, 0), current_run_id,
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

-- Write what was asked; an older version never replaces a newer one.
create or replace function public.darkroom_set_control(p_job_id uuid, p_run_id text, p_control jsonb)
returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_user_paused boolean := (p_control->>'paused')::boolean;
  v_quota_until timestamptz := (p_control->>'quota_until')::timestamptz;
  v_cancel boolean := (p_control->>'cancel_requested')::boolean;
  v_paused boolean := v_user_paused or v_quota_until is not null;
begin
  select job_status, current_run_id, control_version into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  if public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id) is not null
    or (p_control->>'version')::integer <= v_job.control_version then
    return false;
  end if;
  update public.quel_production_jobs
  set paused = v_paused, paused_by_user = v_user_paused, quota_until = v_quota_until,
    pause_reason = case when v_paused then p_control->>'reason' end,
    cancel_requested = v_cancel, cancel_reason = case when v_cancel then p_control->>'reason' end,
    failing = (p_control->>'failing')::boolean, control_version = (p_control->>'version')::integer,
    updated_at = clock_timestamp()
  where job_id = p_job_id;
  perform public.darkroom_refresh_row(p_job_id);
  return true;
end
$$;

-- End a job that no run has opened; the run that may come late is turned away.
create or replace function public.darkroom_cancel_pending(p_job_id uuid, p_reason text) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
  v_status text;
  v_production uuid;
begin
  select job_status, production_id into v_status, v_production
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  if v_status <> 'pending' then
    return false;
  end if;
  update public.quel_production_jobs
  set job_status = 'cancelled', cancel_requested = true, cancel_reason = p_reason, completed_at = v_now,
    updated_at = v_now
  where job_id = p_job_id;
  update public.quel_production_photo set production_status = 'cancelled', updated_at = v_now
  where production_id = v_production;
  return true;
end
$$;

select public.darkroom_close_functions();
insert into public.quel_schema_versions (version) values ('20261121090200') on conflict do nothing;
