-- Jobs of before Darkroom are shown in its words, with all the words they were written in.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = on;

-- Rows of before Darkroom may be in states that it does not know, or in none; those are shown nowhere.
create or replace function public.darkroom_job(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_job_json(job) from public.quel_production_jobs as job
  where job.job_id = p_job_id
    and job_status::text in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')
$$;

-- Jobs, newest first. Planned for each call: few jobs run among many that ended, and no one plan is good for both.
create or replace function public.darkroom_jobs(p_status text, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_status public.quel_production_jobs.job_status%type := public.darkroom_word('job_status', p_status);
  v_other public.quel_production_jobs.job_status%type := public.darkroom_other_word('job_status', p_status);
  v_jobs jsonb;
begin
  if p_status is null then
    select jsonb_agg(public.darkroom_job_json(page) order by page.created_at desc nulls last) into v_jobs from (
      select * from public.quel_production_jobs
      where job_status::text in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')
      order by created_at desc nulls last limit p_limit
    ) as page;
  else
    select jsonb_agg(public.darkroom_job_json(page) order by page.created_at desc nulls last) into v_jobs from (
      select * from public.quel_production_jobs
      where job_status = v_status or job_status = v_other order by created_at desc nulls last limit p_limit
    ) as page;
  end if;
  return coalesce(v_jobs, '[]');
end
$$;

-- Jobs whose id, in lower case, begins like this: a range, which an index serves whatever plan is made. Nothing in
-- an id comes after a tilde.
create or replace function public.darkroom_jobs_beginning(p_prefix text, p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(public.darkroom_job_json(page)), '[]')
  from (
    select * from public.quel_production_jobs
    where job_id::text ~>=~ p_prefix and job_id::text ~<~ (p_prefix || '~')
      and job_status::text in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')
    limit p_limit
  ) as page
$$;

-- Progress as the records know it; with ids in jobs of at most p_most_ids images.
create or replace function public.darkroom_progress(p_job_id uuid, p_most_ids integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'job_id', job.job_id, 'job_type', coalesce(job.order_type, job.job_type, ''),
    'status', public.darkroom_status(job.job_status::text),
    'paused', job.paused, 'pause_reason', job.pause_reason, 'cancel_requested', job.cancel_requested,
    'total_images', coalesce(job.total_images, 0), 'completed_images', coalesce(job.completed_images, 0),
    'failed_images', coalesce(job.failed_images, 0),
    'generated_attach_ids', case when coalesce(job.total_images, 0) <= p_most_ids
      then coalesce(nullif(job.generated_attach_ids, 'null'), '[]') end,
    'started_at', job.started_at, 'error_message', job.error_message,
    'stages', coalesce((
      select jsonb_agg(public.darkroom_stage_progress(
        stage, job.current_run_id, job.job_status = 'processing',
        case when coalesce(job.total_images, 0) <= p_most_ids then p_most_ids else 0 end
      ) order by stage.stage_index)
      from public.quel_job_stages as stage where stage.job_id = job.job_id), '[]'))
  from public.quel_production_jobs as job
  where job.job_id = p_job_id
    and job_status::text in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')
$$;

-- A delivered image, as lists of images show it.
create or replace function public.darkroom_images_json(image public.quel_attach) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'attach_id', image.attach_id, 'job_id', image.job_id, 'stage_index', image.stage_index,
    'ordinal', image.ordinal, 'path', public.darkroom_path(image), 'size', image.attach_file_size,
    'sha256', image.sha256, 'delivered_at', image.delivered_at)
$$;

-- A page of jobs, newest first: those behind a job, whose place is that of its row, whatever time was shown for it.
-- Planned for each call, so that what is not asked for falls away, and read in the order of the index that serves the
-- rest: a planner that expects few rows would rather sort all of them. Of order documents and lists of ids, which are
-- long, no more than six ids leave the database.
create or replace function public.darkroom_job_page(
  p_limit integer, p_status text, p_user_id uuid, p_before_created timestamptz, p_before_id uuid
) returns jsonb
language plpgsql stable security definer
set search_path = '' set plan_cache_mode = 'force_custom_plan' set enable_sort = off as $$
declare
  v_before timestamptz := coalesce(
    (select coalesce(created_at, 'epoch') from public.quel_production_jobs where job_id = p_before_id),
    p_before_created, 'infinity');
  v_status public.quel_production_jobs.job_status%type := public.darkroom_word('job_status', p_status);
  v_other public.quel_production_jobs.job_status%type := public.darkroom_other_word('job_status', p_status);
  v_jobs jsonb;
begin
  select jsonb_agg(jsonb_build_object(
    'job_id', page.job_id, 'job_type', page.job_type, 'status', public.darkroom_status(page.job_status),
    'paused', page.paused, 'cancel_requested', page.cancel_requested, 'total_images', coalesce(page.total_images, 0),
    'completed_images', coalesce(page.completed_images, 0), 'failed_images', coalesce(page.failed_images, 0),
    'error_message', page.error_message, 'title', page.title, 'first_attach_ids', page.first_attach_ids,
    'created_at', coalesce(page.created_at, page.started_at, page.updated_at, 'epoch'),
    'started_at', page.started_at, 'completed_at', page.completed_at
  ) order by coalesce(page.created_at, 'epoch') desc, page.job_id desc) into v_jobs
  from (
    select job.job_id, coalesce(job.order_type, job.job_type) as job_type, job.job_status::text, job.paused,
      job.cancel_requested, job.total_images,
      job.completed_images, job.failed_images, job.error_message, job.created_at, job.started_at, job.completed_at,
      job.updated_at,
      case when jsonb_typeof(job.generated_attach_ids) = 'array'
        then jsonb_path_query_array(job.generated_attach_ids, '$[0 to 5]') else '[]' end as first_attach_ids,
      (select left(stage.prompt, 200) from public.quel_job_stages as stage
       where stage.job_id = job.job_id order by stage.stage_index limit 1) as title
    from public.quel_production_jobs as job
    where job.job_status::text in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')
      and (p_status is null or job.job_status = v_status or job.job_status = v_other)
      and (p_user_id is null or job.quel_member_id = p_user_id)
      and (coalesce(job.created_at, 'epoch'), job.job_id)
        < (v_before, coalesce(p_before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    order by coalesce(job.created_at, 'epoch') desc, job.job_id desc limit p_limit
  ) as page;
  return coalesce(v_jobs, '[]');
end
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
    -- Each delivered picture is charged once, at the job's price: 0 without a user, none for a job of before Darkroom.
    'spent', coalesce(job.unit_price * (
      select sum(delivered_images) from public.quel_job_stages where job_id = job.job_id), 0),
    'held', coalesce((
      select amount from public.quel_credit_holds where job_id = job.job_id and released_at is null), 0),
    'pictures', coalesce((
      select jsonb_agg(jsonb_build_object(
        'attach_id', page.attach_id, 'stage_index', page.stage_index, 'ordinal', page.ordinal,
        'path', page.attach_file_path, 'size', page.attach_file_size, 'sha256', page.sha256,
        'delivered_at', page.delivered_at, 'round', coalesce(call.round, 0), 'provider', call.provider,
        'model', call.model, 'seconds', call.seconds) order by page.delivered_at, page.attach_id)
      from (
        select attach_id, stage_index, ordinal, attach_file_path, attach_file_size, sha256, delivered_at
        from public.quel_attach
        where job_id = p_job_id and delivered_at is not null
          and (delivered_at, attach_id) > (coalesce(p_after_at, '-infinity'), coalesce(p_after_id, 0))
        order by delivered_at, attach_id limit p_limit
      ) as page
      left join lateral (
        -- A delivered picture is that of the newest call that was generated for it.
        select made.round, made.provider, made.model, made.seconds from public.quel_generation_attempts as made
        where made.job_id = p_job_id and made.stage_index = page.stage_index and made.ordinal = page.ordinal
          and made.outcome = 'generated'
        order by made.attempt_id desc limit 1
      ) as call on true), '[]'),
    'undelivered', public.darkroom_undelivered(
      job.job_id, job.current_run_id, job.job_status = 'processing',
      job.paused or job.cancel_requested or job.failing, p_most_frames))
  from public.quel_production_jobs as job
  where job.job_id = p_job_id
    and job_status::text in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')
$$;

-- From the beginning of a day (UTC) on; a call counts on the day it began.
create or replace function public.darkroom_statistics(p_since date) returns jsonb
language sql stable security definer set search_path = '' as $$
  with call as (
    select *, (started_at at time zone 'utc')::date as day
    from public.quel_generation_attempts where started_at >= p_since::timestamp at time zone 'utc'
  ), delivered as (
    select call.day, call.provider, count(*) filter (where call.round > 0) as recovered,
      coalesce(-sum(credit.amount), 0) as credits
    from call
    join public.quel_attach as image on image.job_id = call.job_id and image.stage_index = call.stage_index
      and image.ordinal = call.ordinal and image.delivered_at is not null
    left join public.quel_credits as credit
      on credit.idempotency_key = image.job_id || '/' || image.stage_index || '/' || image.ordinal
    where call.outcome = 'generated' and not exists (
      -- A delivered picture is that of the newest call that was generated for it.
      select from public.quel_generation_attempts as later
      where later.job_id = call.job_id and later.stage_index = call.stage_index and later.ordinal = call.ordinal
        and later.outcome = 'generated' and later.attempt_id > call.attempt_id)
    group by call.day, call.provider
  ), provider_days as (
    select day, provider, count(*) as calls,
      count(*) filter (where outcome = 'generated') as generated,
      count(*) filter (where outcome = 'missed') as missed,
      count(*) filter (where outcome = 'refused') as refused,
      count(*) filter (where outcome = 'fault') as faults,
      count(*) - count(outcome) as unknown,
      percentile_disc(0.5) within group (order by seconds) filter (where outcome = 'generated') as p50,
      percentile_disc(0.95) within group (order by seconds) filter (where outcome = 'generated') as p95,
      count(distinct case when round > 0 then run_id || '/' || stage_index || '/' || round end) as top_ups
    from call group by day, provider
  ), job_days as (
    select (completed_at at time zone 'utc')::date as day,
      count(*) filter (where job_status = 'completed') as completed,
      count(*) filter (where job_status = 'failed') as failed,
      count(*) filter (where job_status::text in ('cancelled', 'user_cancelled')) as cancelled
    from public.quel_production_jobs
    where completed_at >= p_since::timestamp at time zone 'utc' group by 1
  )
  select jsonb_build_object(
    'providers', coalesce((
      select jsonb_agg(jsonb_build_object(
        'day', day, 'provider', provider, 'calls', calls, 'generated', generated, 'missed', missed,
        'refused', refused, 'faults', faults, 'unknown', unknown, 'seconds_p50', p50, 'seconds_p95', p95,
        'top_up_rounds', top_ups, 'recovered_images', coalesce(recovered, 0), 'credits', coalesce(credits, 0)
      ) order by day desc, provider)
      from provider_days left join delivered using (day, provider)), '[]'),
    'jobs', coalesce((
      select jsonb_agg(jsonb_build_object(
        'day', day, 'completed', completed, 'failed', failed, 'cancelled', cancelled) order by day desc)
      from job_days), '[]'))
$$;

-- When something last happened to a job, how many images were delivered since a moment, and which images are retried:
-- their newest call failed, or is the next attempt after one that did, and nothing else came of them.
create or replace function public.darkroom_movement(p_job_id uuid, p_since timestamptz) returns jsonb
language sql stable security definer set search_path = '' as $$
  with job as (
    select job.current_run_id, job.created_at, job.updated_at,
      job.job_status = 'processing' and not (job.paused or job.cancel_requested or job.failing) as running,
      (select opened_at from public.quel_job_runs where run_id = job.current_run_id) as opened_at,
      (select max(delivered_at) from public.quel_attach where job_id = p_job_id and delivered_at is not null)
        as delivered_at
    from public.quel_production_jobs as job
    where job.job_id = p_job_id
      and job.job_status::text in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')
  ), answered as (
    select greatest(job.delivered_at, (
      select max(started_at + make_interval(secs => coalesce(seconds, 0)))
      from public.quel_generation_attempts
      where job_id = p_job_id and run_id = job.current_run_id and outcome in ('missed', 'refused'))) as at
    from job
  ), undecided as materialized (
    -- After a long outage most images are given up, with twenty calls each, which tell no more.
    select call.stage_index, call.ordinal
    from public.quel_generation_attempts as call join job on job.running and call.run_id = job.current_run_id
    where call.job_id = p_job_id and (call.outcome is null or call.outcome <> 'generated')
    group by call.stage_index, call.ordinal
    having bool_or(outcome = 'fault') and not coalesce(bool_or(outcome in ('missed', 'refused')), false)
  ), call as materialized (
    select call.* from job, undecided cross join lateral (
      select made.attempt_id, made.stage_index, made.ordinal, made.provider, made.attempt, made.outcome, made.reason,
        made.started_at + make_interval(secs => coalesce(made.seconds, 0)) as ended_at
      from public.quel_generation_attempts as made
      where made.job_id = p_job_id and made.stage_index = undecided.stage_index and made.ordinal = undecided.ordinal
        and made.run_id = job.current_run_id and (made.outcome is null or made.outcome <> 'generated')
      offset 0  -- image by image: joined as a whole, all calls of the job would be read
    ) as call
  ), image as (
    select call.stage_index, call.ordinal, max(attempt_id) as newest,
      max(attempt_id) filter (where outcome = 'fault') as newest_fault,
      count(*) filter (where outcome = 'fault' and ended_at > coalesce(answered.at, '-infinity')) as faults,
      coalesce(
        min(ended_at) filter (where outcome = 'fault' and ended_at > coalesce(answered.at, '-infinity')),
        min(ended_at) filter (where outcome = 'fault')) as since
    from call, answered
    group by call.stage_index, call.ordinal
  ), retried as (
    select image.stage_index, image.ordinal, newest.provider, newest.attempt, coalesce(fault.reason, '') as reason,
      image.faults, image.since, fault.ended_at as failed_at
    from image join call as newest on newest.attempt_id = image.newest
      join call as fault on fault.attempt_id = image.newest_fault
    where (newest.outcome is null or newest.outcome = 'fault')
      -- One that was generated since its last fault waits for nothing but its delivery.
      and not exists (
        select 1 from public.quel_generation_attempts as made
        where made.job_id = p_job_id and made.stage_index = image.stage_index and made.ordinal = image.ordinal
          and made.outcome = 'generated' and made.attempt_id > image.newest_fault)
  )
  select jsonb_build_object(
    'news_at', coalesce(greatest(job.created_at, job.updated_at, job.opened_at, answered.at), 'epoch'),
    'opened_at', job.opened_at,
    'delivered', (
      select count(*) from public.quel_attach
      where job_id = p_job_id and delivered_at is not null and delivered_at >= p_since),
    'retried', coalesce((select jsonb_agg(to_jsonb(retried) order by stage_index, ordinal) from retried), '[]'))
  from job, answered
$$;

-- Write what came of the pages, if this run is the job's open one.
create or replace function public.darkroom_finish_book(
  p_job_id uuid, p_run_id text, p_result jsonb, p_pictures_done boolean
) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
begin
  select job_status::text, current_run_id, book_id into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  if public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id) is not null then
    return;
  end if;
  update public.quel_books
  set task_metadata = p_result, cover_image = coalesce(p_result->>'cover_image', cover_image),
    pipeline_stage = case when p_pictures_done then 'image' else pipeline_stage end,
    progress_percentage = case when p_pictures_done then 60 else progress_percentage end,
    updated_at = clock_timestamp()
  where book_id = v_job.book_id;
end
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
    where p_run_id is null and job.current_run_id is null and job.job_status::text in ('cancelled', 'user_cancelled')
      and job.completed_at is not null
  ) as ended
  where job.job_id = p_job_id
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127140300') on conflict do nothing;

notify pgrst, 'reload schema';
