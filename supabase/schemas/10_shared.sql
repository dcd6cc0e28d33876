-- What several transactions share. Every function of Darkroom begins with darkroom_, takes what the Python port
-- takes and answers with the JSON of what the port returns. A whole transaction is one call.

-- What every function answers about a job that does not exist; PostgREST makes HTTP 404 of it.
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
  -- A row that somebody else set to cancelled still settles the calls in progress (spec §4).
  if p_job_status not in ('processing', 'cancelled', 'user_cancelled') or not exists (
    select 1 from public.quel_job_runs where run_id = p_run_id and closed_at is null
  ) then
    return 'the job has ended';
  end if;
  return null;
end
$$;

-- Whether a run was opened and not closed.
create or replace function public.darkroom_is_open(p_run_id text) returns boolean
language sql stable set search_path = '' as $$
  select exists (select from public.quel_job_runs where run_id = p_run_id and closed_at is null)
$$;

-- The status of a job, from its row: one that somebody else set to cancelled runs until its calls in progress have ended.
create or replace function public.darkroom_status_of(p_job_status text, p_run_id text) returns text
language sql stable set search_path = '' as $$
  select case
    when p_job_status in ('cancelled', 'user_cancelled')
      then case when public.darkroom_is_open(p_run_id) then 'processing' else 'cancelled' end
    else p_job_status end
$$;

-- Whether a job is over: whatever its row says, one whose calls are drained is not.
create or replace function public.darkroom_is_over(p_job_status text, p_run_id text) returns boolean
language sql stable set search_path = '' as $$
  select p_job_status in ('completed', 'failed', 'cancelled', 'user_cancelled')
    and public.darkroom_status_of(p_job_status, p_run_id) <> 'processing'
$$;

-- The state of a job in our words. Whether front ends or we have cancelled it, and with which word, makes no difference.
create or replace function public.darkroom_status(p_status text) returns text
language sql immutable set search_path = '' as $$
  select case when p_status = 'user_cancelled' then 'cancelled' else p_status end
$$;

-- The row as clients poll it. Rows of before Darkroom may lack anything.
create or replace function public.darkroom_job_json(job public.quel_production_jobs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'job_id', job.job_id, 'job_type', coalesce(job.order_type, job.job_type),
    'status', public.darkroom_status_of(job.job_status::text, job.current_run_id),
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
    || case when job.job_name is null then '{}' else jsonb_build_object('name', job.job_name) end
    || case when job.org_id is null then '{}' else jsonb_build_object('org_id', job.org_id) end
    || coalesce((
      select jsonb_build_object('deleted_at', gone.deleted_at) from public.quel_deleted_jobs as gone
      where gone.job_id = job.job_id), '{}')
$$;

-- Delivered images, and ordinals whose last word is a miss or a refusal. Whether an image is delivered is asked for one
-- ordinal at a time, so that one index alone can serve it: a planner that had not heard of a large job yet would take
-- another and walk over all its pictures.
create or replace function public.darkroom_stage_counts(p_job_id uuid, p_stage_index integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'delivered', coalesce((
      select delivered_images from public.quel_job_stages
      where job_id = p_job_id and stage_index = p_stage_index), 0),
    'missed', count(distinct call.ordinal) filter (where call.outcome = 'missed'),
    'refused', count(distinct call.ordinal) filter (where call.outcome = 'refused'))
  from public.quel_generation_attempts as call
  where call.job_id = p_job_id and call.stage_index = p_stage_index and call.outcome in ('missed', 'refused')
    and (
      select image.delivered_at from public.quel_attach as image
      where image.job_id = call.job_id and image.stage_index = call.stage_index
        and image.ordinal = call.ordinal) is null
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

-- The same for a caller that does not hold the job's row yet.
create or replace function public.darkroom_refresh(p_job_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform 1 from public.quel_production_jobs where job_id = p_job_id for no key update;
  perform public.darkroom_refresh_row(p_job_id);
end
$$;

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

-- Which migrations are there, and what the time is here; for `starter.py doctor`.
create or replace function public.darkroom_state() returns jsonb
language sql volatile security definer set search_path = '' as $$
  select jsonb_build_object('version', max(version), 'time', clock_timestamp()) from public.quel_schema_versions
$$;
