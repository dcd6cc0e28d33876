-- Webhooks: who is told of a job's end, and what of it.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

-- Front ends have no right to write it: it comes from the order, after the guard has looked at it.
alter table public.quel_production_jobs add column if not exists webhook_url text;

create or replace function public.darkroom_create_job(p_job jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.quel_production_jobs (
    job_id, job_type, job_status, quel_member_id, production_id, job_input_data, total_images, priority, webhook_url,
    created_at, updated_at)
  values (
    (p_job->>'job_id')::uuid, p_job->>'job_type', 'pending', (p_job->>'user_id')::uuid,
    (p_job->>'production_id')::uuid, p_job->'document', (p_job->>'total_images')::integer,
    (p_job->>'priority')::integer, p_job->>'webhook_url', clock_timestamp(), clock_timestamp())
  on conflict (job_id) do nothing;
  return found;
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
    priority = (p_order->>'priority')::integer, book_id = (p_order->>'book_id')::uuid,
    webhook_url = p_order->>'webhook_url'
  where job_id = p_job_id;
end
$$;

-- What a run needs to know, in numbers. A worker of before knows nothing of webhooks: without one it is not told.
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
    || case when job.webhook_url is null then '{}' else jsonb_build_object('webhook', true) end
  from public.quel_production_jobs as job where job.job_id = p_job_id
$$;

-- Keep who is told of the end, unless an order was stored; the order says it then.
create or replace function public.darkroom_keep_webhook(p_job_id uuid, p_url text) returns void
language sql security definer set search_path = '' as $$
  update public.quel_production_jobs as job set webhook_url = p_url
  where job.job_id = p_job_id
    and not exists (select from public.quel_job_stages as stage where stage.job_id = job.job_id)
$$;

-- How a closed run ended; without a run, how a job ended that was cancelled before any opened it.
create or replace function public.darkroom_ending(p_job_id uuid, p_run_id text) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'job_id', job.job_id, 'run_id', p_run_id, 'user_id', job.quel_member_id, 'production_id', job.production_id,
    'webhook_url', job.webhook_url, 'ended_at', ended.at, 'receipt', ended.receipt)
  from public.quel_production_jobs as job
  cross join lateral (
    select run.closed_at as at, run.receipt from public.quel_job_runs as run
    where run.run_id = p_run_id and run.job_id = job.job_id and run.receipt is not null
    union all
    select job.completed_at, jsonb_build_object(
      'job_id', job.job_id, 'job_type', coalesce(job.job_type, ''), 'status', 'cancelled',
      'ordered', coalesce(job.total_images, 0), 'delivered', 0)
    where p_run_id is null and job.current_run_id is null and job.job_status = 'cancelled'
      and job.completed_at is not null
  ) as ended
  where job.job_id = p_job_id
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261125100000') on conflict do nothing;

notify pgrst, 'reload schema';
