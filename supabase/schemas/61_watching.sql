-- What those read who watch: lists of jobs, and one job at one moment.

-- The first of a job's pictures that its row lists, six at most; not what somebody else wrote into it.
create or replace function public.darkroom_first_pictures(job public.quel_production_jobs) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(listed.attach_id order by listed.place), '[]')
  from public.darkroom_listed_ids(
    case when jsonb_typeof(job.generated_attach_ids) = 'array'
      then jsonb_path_query_array(job.generated_attach_ids, '$[0 to 5]') end) as listed
  where exists (
      select from public.quel_attach as image
      where image.attach_id = listed.attach_id and image.job_id = job.job_id and image.delivered_at is not null)
    or exists (
      select from public.quel_earlier_pictures as earlier
      where earlier.attach_id = listed.attach_id and earlier.job_id = job.job_id
        and earlier.quel_member_id is not distinct from job.quel_member_id)
$$;

-- A page of the jobs that a filter lets through, newest first: those behind a job, whose place is that of its row,
-- whatever time was shown for it. Of order documents and lists of ids, which are long, no more than six ids leave the
-- database.
create or replace function public.darkroom_find_jobs(
  p_limit integer, p_filter jsonb, p_before_created timestamptz, p_before_id uuid
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_before timestamptz := coalesce(
    (select coalesce(created_at, 'epoch') from public.quel_production_jobs where job_id = p_before_id),
    p_before_created);
  v_jobs jsonb;
begin
  select jsonb_agg(jsonb_build_object(
    'job_id', page.job_id, 'job_type', page.job_type,
    'status', public.darkroom_status_of(page.job_status::text, page.current_run_id), 'paused', page.paused,
    'cancel_requested', page.cancel_requested, 'total_images', coalesce(page.total_images, 0),
    'completed_images', coalesce(page.completed_images, 0), 'failed_images', coalesce(page.failed_images, 0),
    'error_message', page.error_message, 'name', page.job_name, 'title', page.title,
    'first_attach_ids', page.first_attach_ids,
    'created_at', coalesce(page.created_at, page.started_at, page.updated_at, 'epoch'),
    'started_at', page.started_at, 'completed_at', page.completed_at
  ) order by coalesce(page.created_at, 'epoch') desc, page.job_id desc) into v_jobs
  from (
    select job.job_id, coalesce(job.order_type, job.job_type) as job_type, job.job_status, job.current_run_id,
      job.paused, job.cancel_requested, job.job_name,
      job.total_images, job.completed_images, job.failed_images, job.error_message, job.created_at, job.started_at,
      job.completed_at, job.updated_at,
      public.darkroom_first_pictures(job) as first_attach_ids,
      (select left(stage.prompt, 200) from public.quel_job_stages as stage
       where stage.job_id = job.job_id order by stage.stage_index limit 1) as title
    from public.quel_production_jobs as job
    where job.job_id = any (public.darkroom_found(p_limit, p_filter, v_before, p_before_id))
    order by coalesce(job.created_at, 'epoch') desc, job.job_id desc limit p_limit
  ) as page;
  return coalesce(v_jobs, '[]');
end
$$;

-- The same for earlier processes, which know neither names nor words.
create or replace function public.darkroom_list_jobs(
  p_limit integer, p_statuses text[], p_user_id uuid, p_before_created timestamptz, p_before_id uuid
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(job.line - 'name' order by job.place), '[]')
  from jsonb_array_elements(public.darkroom_find_jobs(
    p_limit, jsonb_build_object('statuses', p_statuses, 'user_id', p_user_id), p_before_created, p_before_id))
    with ordinality as job (line, place)
$$;

-- The same for earlier processes, which ask for one state or for all.
create or replace function public.darkroom_job_page(
  p_limit integer, p_status text, p_user_id uuid, p_before_created timestamptz, p_before_id uuid
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_list_jobs(
    p_limit, case when p_status is not null then array[p_status] end, p_user_id, p_before_created, p_before_id)
$$;

-- The last word on each ordinal that was tried and is not delivered, in stages of at most p_most_frames images. What is
-- decided stands, whatever else was tried beside it. With p_dropped nothing that waits for its next try gets one.
create or replace function public.darkroom_undelivered(
  p_job_id uuid, p_run_id text, p_running boolean, p_dropped boolean, p_most_frames integer
) returns jsonb
language sql stable set search_path = '' as $$
  with small as (
    select stage_index from public.quel_job_stages where job_id = p_job_id and quantity <= p_most_frames
  ), word as (
    select distinct on (call.stage_index, call.ordinal) call.stage_index, call.ordinal, call.run_id, call.round,
      call.outcome, call.reason, call.started_at + make_interval(secs => coalesce(call.seconds, 0)) as ended_at,
      coalesce(call.outcome in ('missed', 'refused'), false) as decided
    from small join public.quel_generation_attempts as call
      on call.job_id = p_job_id and call.stage_index = small.stage_index
    where (call.outcome is null or call.outcome <> 'generated')
      and (
        select image.delivered_at from public.quel_attach as image
        where image.job_id = call.job_id and image.stage_index = call.stage_index
          and image.ordinal = call.ordinal) is null
    order by call.stage_index, call.ordinal, decided desc,
      case when call.outcome in ('missed', 'refused') then call.attempt_id else -call.attempt_id end
  ), waiting as (
    select image.stage_index, image.ordinal, coalesce((
      select call.round from public.quel_generation_attempts as call
      where call.job_id = p_job_id and call.stage_index = image.stage_index and call.ordinal = image.ordinal
        and call.outcome = 'generated' order by call.attempt_id desc limit 1), 0) as round
    from small join public.quel_attach as image on image.job_id = p_job_id and image.stage_index = small.stage_index
    where p_running and image.delivered_at is null
  ), said as (
    select stage_index, ordinal, case
        when word.decided then word.outcome
        when waiting.round is not null then 'making'
        when p_running and word.run_id = p_run_id
          and (word.outcome is null or (word.outcome = 'fault' and not p_dropped)) then 'making' end as state,
      case when word.decided then word.round else coalesce(waiting.round, word.round) end as round,
      case when word.decided then word.reason end as reason, case when word.decided then word.ended_at end as lost_at
    from word full join waiting using (stage_index, ordinal)
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'stage_index', stage_index, 'ordinal', ordinal, 'state', state, 'round', round, 'reason', reason,
    'lost_at', lost_at) order by stage_index, ordinal), '[]')
  from said where state is not null
$$;

-- A job as it stands, with at most p_limit pictures that were delivered behind the mark. One statement, one snapshot.
create or replace function public.darkroom_look(
  p_job_id uuid, p_after_at timestamptz, p_after_id bigint, p_limit integer, p_most_frames integer
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'user_id', job.quel_member_id, 'progress', public.darkroom_progress(job.job_id, -1),
    'created_at', coalesce(job.created_at, job.started_at, job.updated_at, 'epoch'),
    'completed_at', job.completed_at, 'unit_price', job.unit_price,
    -- Each delivered picture is charged once, at its stage's price: 0 without a user, none for a job of before Darkroom.
    'spent', coalesce((
      select sum(stage.delivered_images * coalesce(stage.unit_price, job.unit_price))
      from public.quel_job_stages as stage where stage.job_id = job.job_id), 0),
    'held', coalesce((
      select amount from public.quel_credit_holds where job_id = job.job_id and released_at is null), 0),
    'pictures', coalesce((
      select jsonb_agg(jsonb_build_object(
        'attach_id', page.attach_id, 'stage_index', page.stage_index, 'ordinal', page.ordinal,
        'path', page.attach_file_path, 'size', page.attach_file_size, 'sha256', page.sha256,
        'delivered_at', page.delivered_at, 'round', coalesce(call.round, 0), 'provider', call.provider,
        'model', call.model, 'seconds', call.seconds, 'price', (
          select unit_price from public.quel_job_stages as stage
          where stage.job_id = p_job_id and stage.stage_index = page.stage_index)) order by page.delivered_at, page.attach_id)
      from (
        (
          select attach_id, stage_index, ordinal, attach_file_path, attach_file_size, sha256, delivered_at
          from public.quel_attach
          where job_id = p_job_id and delivered_at is not null and deleted_at is null
            and (delivered_at, attach_id) > (coalesce(p_after_at, '-infinity'), coalesce(p_after_id, 0))
          order by delivered_at, attach_id limit p_limit
        ) union all (
          select attach_id, stage_index, ordinal, path, size, sha256, delivered_at
          from public.darkroom_earlier_images(p_job_id)
          where (delivered_at, attach_id) > (coalesce(p_after_at, '-infinity'), coalesce(p_after_id, 0))
          order by delivered_at, attach_id limit p_limit
        )
      ) as page
      left join lateral (
        -- A delivered picture is that of the newest call that was generated for it.
        select made.round, made.provider, made.model, made.seconds from public.quel_generation_attempts as made
        where made.job_id = p_job_id and made.stage_index = page.stage_index and made.ordinal = page.ordinal
          and made.outcome = 'generated'
        order by made.attempt_id desc limit 1
      ) as call on true), '[]'),
    'undelivered', public.darkroom_undelivered(
      job.job_id, job.current_run_id, public.darkroom_status_of(job.job_status::text, job.current_run_id) = 'processing',
      job.paused or job.cancel_requested or job.failing, p_most_frames))
    || coalesce((
      select jsonb_build_object('paid_by', jsonb_build_object(
        'org_id', organization.org_id, 'name', coalesce(organization.org_name, '')))
      from public.quel_credit_holds as hold join public.quel_organization as organization using (org_id)
      where hold.job_id = p_job_id), '{}')
    || case when job.job_name is null then '{}' else jsonb_build_object('name', job.job_name) end
    || coalesce((
      select jsonb_build_object('deleted_at', gone.deleted_at) from public.quel_deleted_jobs as gone
      where gone.job_id = job.job_id), '{}')
  from public.quel_production_jobs as job
  where job.job_id = p_job_id and public.darkroom_status_of(job_status::text, current_run_id)
    in ('pending', 'processing', 'completed', 'failed', 'cancelled')
$$;
