-- Webhooks: who is told of a job's end, and what of it.

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
      'job_id', job.job_id, 'job_type', coalesce(job.order_type, job.job_type, ''), 'status', 'cancelled',
      'ordered', coalesce(job.total_images, 0), 'delivered', 0)
    where p_run_id is null and job.current_run_id is null
      and job.job_status::text in ('cancelled', 'user_cancelled')
      and job.completed_at is not null
  ) as ended
  where job.job_id = p_job_id
$$;
