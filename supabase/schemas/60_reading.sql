-- What clients read: rows, progress, receipts, delivered pictures. Lists come as one JSON value, because
-- PostgREST cuts rows at 1,000 without a word.

-- Rows of before Darkroom may be in states that it does not know, or in none; those are shown nowhere.
create or replace function public.darkroom_job(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_job_json(job) from public.quel_production_jobs as job
  where job.job_id = p_job_id and public.darkroom_status_of(job_status::text, current_run_id)
    in ('pending', 'processing', 'completed', 'failed', 'cancelled')
$$;

-- The newest jobs in one of some states, of a user or of all; see darkroom_found.
create or replace function public.darkroom_newest(
  p_limit integer, p_statuses text[], p_user_id uuid, p_before_created timestamptz, p_before_id uuid
) returns uuid[]
language sql stable security definer set search_path = '' as $$
  select public.darkroom_found(
    p_limit, jsonb_build_object('statuses', p_statuses, 'user_id', p_user_id), p_before_created, p_before_id)
$$;

-- Jobs, newest first; with `processing`, those whose row says cancelled while their run is open are not listed.
create or replace function public.darkroom_jobs(p_status text, p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(public.darkroom_job_json(page) order by page.created_at desc nulls last), '[]')
  from (
    select * from public.quel_production_jobs
    where job_id = any (public.darkroom_newest(
      p_limit, case when p_status is not null then array[p_status] end, null, null, null))
    order by created_at desc nulls last limit p_limit
  ) as page
$$;

-- Jobs whose id, in lower case, begins like this: a range, which an index serves whatever plan is made. Nothing in
-- an id comes after a tilde.
create or replace function public.darkroom_jobs_beginning(p_prefix text, p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(public.darkroom_job_json(page)), '[]')
  from (
    select * from public.quel_production_jobs
    where job_id::text ~>=~ p_prefix and job_id::text ~<~ (p_prefix || '~')
      and public.darkroom_status_of(job_status::text, current_run_id)
        in ('pending', 'processing', 'completed', 'failed', 'cancelled')
    limit p_limit
  ) as page
$$;

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

-- One stored stage.
create or replace function public.darkroom_stage(p_job_id uuid, p_stage_index integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'stage_index', stage_index, 'label', label, 'prompt', prompt, 'quantity', quantity,
    'aspect_ratio', aspect_ratio, 'references', reference_images, 'format', format,
    'image_size', coalesce(image_size, '1K'))
  from public.quel_job_stages where job_id = p_job_id and stage_index = p_stage_index
$$;

-- All stored stages, in order.
create or replace function public.darkroom_stages(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'stage_index', stage_index, 'label', label, 'prompt', prompt, 'quantity', quantity,
    'aspect_ratio', aspect_ratio, 'references', reference_images, 'format', format,
    'image_size', coalesce(image_size, '1K')) order by stage_index), '[]')
  from public.quel_job_stages where job_id = p_job_id
$$;

-- Delivered [ordinal, attach_id] of a stage above an ordinal, ascending.
create or replace function public.darkroom_delivered_pairs(
  p_job_id uuid, p_stage_index integer, p_after integer, p_limit integer
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_array(page.ordinal, page.attach_id) order by page.ordinal), '[]')
  from (
    select ordinal, attach_id from public.quel_attach
    where job_id = p_job_id and stage_index = p_stage_index and ordinal > p_after and delivered_at is not null
    order by ordinal limit p_limit
  ) as page
$$;

-- The receipt of the newest run that has one.
create or replace function public.darkroom_receipt(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select receipt from public.quel_job_runs
  where job_id = p_job_id and receipt is not null order by started_at desc limit 1
$$;

-- One stage as it stands. Calls without an outcome count as in flight while the job runs. Each number is found by an
-- index of its own, because one statement for all of them would walk over every call of the stage.
create or replace function public.darkroom_stage_progress(
  p_stage public.quel_job_stages, p_run_id text, p_running boolean, p_most_ids integer
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_counts jsonb := public.darkroom_stage_counts(p_stage.job_id, p_stage.stage_index);
  v_status text := p_stage.stage_status;
  v_round integer := coalesce((
    select max(round) from public.quel_generation_attempts
    where run_id = p_run_id and stage_index = p_stage.stage_index), 0);
  v_open integer := (
    select count(*) from public.quel_generation_attempts
    where job_id = p_stage.job_id and stage_index = p_stage.stage_index and run_id = p_run_id and outcome is null);
begin
  if p_running and (v_counts->>'delivered')::integer >= p_stage.quantity then
    v_status := 'complete';
  elsif p_running and v_status = 'waiting'
    and (v_open > 0 or v_counts <> '{"delivered": 0, "missed": 0, "refused": 0}') then
    v_status := case when v_round > 0 then 'topping_up' else 'delivering' end;
  end if;
  return jsonb_build_object(
    'stage_index', p_stage.stage_index, 'label', p_stage.label, 'quantity', p_stage.quantity,
    'completed', v_counts->'delivered', 'in_flight', case when p_running then v_open else 0 end,
    'round', v_round, 'status', v_status, 'reason', p_stage.reason,
    'missed', v_counts->'missed', 'refused', v_counts->'refused',
    'attach_ids', case when p_most_ids > 0 then coalesce((
      select jsonb_agg(attach_id order by ordinal) from public.quel_attach
      where job_id = p_stage.job_id and stage_index = p_stage.stage_index and delivered_at is not null), '[]') end);
end
$$;

-- Progress as the records know it; with ids in jobs of at most p_most_ids images.
create or replace function public.darkroom_progress(p_job_id uuid, p_most_ids integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'job_id', job.job_id, 'job_type', coalesce(job.order_type, job.job_type, ''),
    'status', public.darkroom_status_of(job.job_status::text, job.current_run_id),
    'paused', job.paused, 'pause_reason', job.pause_reason, 'cancel_requested', job.cancel_requested,
    'total_images', coalesce(job.total_images, 0), 'completed_images', coalesce(job.completed_images, 0),
    'failed_images', coalesce(job.failed_images, 0),
    'generated_attach_ids', case when coalesce(job.total_images, 0) <= p_most_ids
      then coalesce(nullif(job.generated_attach_ids, 'null'), '[]') end,
    'started_at', job.started_at, 'error_message', job.error_message,
    'stages', coalesce((
      select jsonb_agg(public.darkroom_stage_progress(
        stage, job.current_run_id, public.darkroom_status_of(job.job_status::text, job.current_run_id) = 'processing',
        case when coalesce(job.total_images, 0) <= p_most_ids then p_most_ids else 0 end
      ) order by stage.stage_index)
      from public.quel_job_stages as stage where stage.job_id = job.job_id), public.darkroom_earlier_stages(job, p_most_ids), '[]'))
  from public.quel_production_jobs as job
  where job.job_id = p_job_id and public.darkroom_status_of(job_status::text, current_run_id)
    in ('pending', 'processing', 'completed', 'failed', 'cancelled')
$$;

-- A delivered image, as lists of images show it.
create or replace function public.darkroom_images_json(image public.quel_attach) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'attach_id', image.attach_id, 'job_id', image.job_id, 'stage_index', image.stage_index,
    'ordinal', image.ordinal, 'path', public.darkroom_path(image), 'size', image.attach_file_size,
    'sha256', image.sha256, 'delivered_at', image.delivered_at)
$$;

-- Delivered images with an attach_id above p_after, ascending; of one job, or of all.
create or replace function public.darkroom_delivered_images(p_job_id uuid, p_after bigint, p_limit integer)
returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_images jsonb;
begin
  if p_job_id is null then
    select jsonb_agg(public.darkroom_images_json(page) order by page.attach_id) into v_images from (
      select * from public.quel_attach
      where attach_id > p_after and delivered_at is not null and deleted_at is null order by attach_id limit p_limit
    ) as page;
  else
    perform 1 from public.quel_production_jobs where job_id = p_job_id;
    if not found then
      perform public.darkroom_not_found(p_job_id);
    end if;
    select jsonb_agg(public.darkroom_images_json(page) order by page.attach_id) into v_images from (
      select * from public.quel_attach
      where job_id = p_job_id and attach_id > p_after and delivered_at is not null and deleted_at is null
      order by attach_id limit p_limit
    ) as page;
    if v_images is null then
      select jsonb_agg(to_jsonb(page) || jsonb_build_object('job_id', p_job_id) order by page.attach_id) into v_images
      from (
        select * from public.darkroom_earlier_images(p_job_id) where attach_id > p_after
        order by attach_id limit p_limit
      ) as page;
    end if;
  end if;
  return coalesce(v_images, '[]');
end
$$;
