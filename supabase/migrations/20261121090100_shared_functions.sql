-- What several transactions share. Every function of Darkroom begins with darkroom_, takes what the Python port
-- takes and answers with the JSON of what the port returns. A whole transaction is one call.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

-- Every function of ours, whatever it is called with, for the service role alone. A new project lets everybody call
-- what is made in it: each file that makes functions ends with this, so that not one is open for a moment.
create or replace function public.darkroom_close_functions() returns void
language plpgsql set search_path = '' as $$
declare
  v_function regprocedure;
begin
  for v_function in
    select procedure.oid::regprocedure from pg_catalog.pg_proc as procedure
    join pg_catalog.pg_namespace as namespace on namespace.oid = procedure.pronamespace
    where namespace.nspname = 'public' and procedure.proname like 'darkroom\_%'
  loop
    execute format('revoke all on function %s from public, anon, authenticated', v_function);
    execute format('grant execute on function %s to service_role', v_function);
  end loop;
end
$$;

create or replace function public.darkroom_not_found(p_job_id uuid) returns void
language plpgsql set search_path = '' as $$
begin
  raise sqlstate 'PT404' using message =
    format('job %s does not exist; `starter.py list` shows those that do', p_job_id);
end
$$;

-- Why this run may not change the job; null when it is the job's open run. The caller holds the job's row.
create or replace function public.darkroom_refuse_run(
  p_job_status text, p_current_run_id text, p_run_id text
) returns text
language plpgsql stable set search_path = '' as $$
begin
  if p_current_run_id is distinct from p_run_id then
    return 'another run of the job has taken over';
  end if;
  if p_job_status <> 'processing' or not exists (
    select 1 from public.quel_job_runs where run_id = p_run_id and closed_at is null
  ) then
    return 'the job has ended';
  end if;
  return null;
end
$$;

-- The row as clients poll it. Rows of before Darkroom may lack anything.
create or replace function public.darkroom_job_json(job public.quel_production_jobs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'job_id', job.job_id, 'job_type', job.job_type, 'status', job.job_status,
    'user_id', job.quel_member_id, 'production_id', job.production_id,
    'paused', job.paused, 'pause_reason', job.pause_reason, 'cancel_requested', job.cancel_requested,
    'total_images', coalesce(job.total_images, 0), 'completed_images', coalesce(job.completed_images, 0),
    'failed_images', coalesce(job.failed_images, 0),
    'generated_attach_ids', coalesce(nullif(job.generated_attach_ids, 'null'), '[]'),
    'error_message', job.error_message, 'retry_count', coalesce(job.retry_count, 0),
    'run_id', job.current_run_id, 'unit_price', job.unit_price, 'priority', job.priority,
    'created_at', coalesce(job.created_at, job.started_at, job.updated_at, 'epoch'),
    'started_at', job.started_at, 'completed_at', job.completed_at,
    'updated_at', coalesce(job.updated_at, job.created_at, 'epoch'))
$$;

-- Delivered images, and ordinals whose last word is a miss or a refusal.
create or replace function public.darkroom_stage_counts(p_job_id uuid, p_stage_index integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'delivered', coalesce((
      select delivered_images from public.quel_job_stages
      where job_id = p_job_id and stage_index = p_stage_index), 0),
    'missed', count(distinct attempt.ordinal) filter (where attempt.outcome = 'missed'),
    'refused', count(distinct attempt.ordinal) filter (where attempt.outcome = 'refused'))
  from public.quel_generation_attempts as attempt
  where attempt.job_id = p_job_id and attempt.stage_index = p_stage_index
    and attempt.outcome in ('missed', 'refused')
    and not exists (
      select 1 from public.quel_attach as image
      where image.job_id = attempt.job_id and image.stage_index = attempt.stage_index
        and image.ordinal = attempt.ordinal and image.delivered_at is not null)
$$;

-- Make the job's row show every delivered image, in order of stage and ordinal; gives their ids. Count and ids
-- are written together, so that a reader never sees one without the other. The caller holds the job's row.
create or replace function public.darkroom_refresh_row(p_job_id uuid) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_ids jsonb;
begin
  select coalesce(jsonb_agg(attach_id order by stage_index, ordinal), '[]') into v_ids
  from public.quel_attach where job_id = p_job_id and delivered_at is not null;
  update public.quel_production_jobs as job
  set completed_images = jsonb_array_length(v_ids), generated_attach_ids = v_ids,
    refreshed_at = clock_timestamp(),
    updated_at = case when job.generated_attach_ids = v_ids then job.updated_at else clock_timestamp() end
  where job_id = p_job_id;
  return v_ids;
end
$$;

create or replace function public.darkroom_refresh(p_job_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform 1 from public.quel_production_jobs where job_id = p_job_id for no key update;
  perform public.darkroom_refresh_row(p_job_id);
end
$$;

-- A text of at most so many bytes, cut at a whole character, and visibly so.
create or replace function public.darkroom_shorten(p_text text, p_longest integer) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v_kept text := left(p_text, p_longest);
begin
  if octet_length(p_text) <= p_longest then
    return p_text;
  end if;
  while octet_length(v_kept) > p_longest - octet_length('…') loop
    v_kept := left(v_kept, -1);
  end loop;
  return v_kept || '…';
end
$$;

-- Which migrations are there, and what the time is here; for `starter.py doctor`.
create or replace function public.darkroom_state() returns jsonb
language sql volatile security definer set search_path = '' as $$
  select jsonb_build_object('version', max(version), 'time', clock_timestamp()) from public.quel_schema_versions
$$;

select public.darkroom_close_functions();
insert into public.quel_schema_versions (version) values ('20261121090100') on conflict do nothing;
