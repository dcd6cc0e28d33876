-- A back end that cancels a job by its row, and then writes the row as it had read it before, has cancelled the job: its
-- attempts are held, so its run must hear of it.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- Jobs whose row somebody else set to cancelled, and whose run has not heard of it: its control would say why. So is one
-- whose row was written over since, with what it said before: every attempt is held from that moment.
create or replace function public.darkroom_cancelled_rows(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(public.darkroom_job_json(job)), '[]')
  from public.quel_job_runs as run
  join public.quel_production_jobs as job on job.job_id = run.job_id and job.current_run_id = run.run_id
  where run.closed_at is null and (p_job_id is null or run.job_id = p_job_id) and job.cancel_reason is null
    and (job.job_status::text in ('cancelled', 'user_cancelled') or (job.cancel_requested and not exists (
      select from public.quel_job_requests as request
      where request.job_id = job.job_id and request.request = 'cancel')))
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127173700') on conflict do nothing;

notify pgrst, 'reload schema';
