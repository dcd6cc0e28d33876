-- A pending row that its front end gave no time was never started: it has the time at which it was inserted.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- A page of jobs that wait for a run, or should have one; oldest first, above the job that ended the last page.
-- Rows of before Darkroom, and processing ones that no run of Darkroom opened, belong to whoever ran jobs then. A row
-- that its front end gave no time has the one at which it was inserted.
create or replace function public.darkroom_unfinished_jobs(
  p_processing boolean, p_after_created timestamptz, p_after_id uuid, p_limit integer
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(
    public.darkroom_job_json(page.job) || jsonb_build_object('created_at', page.since)
    order by page.since, page.job_id), '[]')
  from (
    (
      select job, job.job_id, job.created_at as since from public.quel_production_jobs as job
      where job.created_at is not null
        and (job.created_at, job.job_id) > (coalesce(p_after_created, '-infinity'),
          coalesce(p_after_id, '00000000-0000-0000-0000-000000000000'))
        and (
          (job.job_status = 'pending'
            and job.created_at > (select min(applied_at) from public.quel_schema_versions))
          or (p_processing and job.job_status = 'processing' and job.current_run_id is not null))
      order by job.created_at, job.job_id limit p_limit
    )
    union all
    (
      select job, job.job_id, inserted.inserted_at from public.quel_production_jobs as job
      join public.quel_job_inserts as inserted on inserted.job_id = job.job_id
      where job.created_at is null and coalesce(job.created_at, 'epoch') = 'epoch'
        and (inserted.inserted_at, job.job_id) > (coalesce(p_after_created, '-infinity'),
          coalesce(p_after_id, '00000000-0000-0000-0000-000000000000'))
        and (job.job_status = 'pending'
          or (p_processing and job.job_status = 'processing' and job.current_run_id is not null))
      order by inserted.inserted_at, job.job_id limit p_limit
    )
    order by since, job_id limit p_limit
  ) as page
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127182500') on conflict do nothing;

notify pgrst, 'reload schema';
