-- Whoever cancels a job by writing `cancelled` or `user_cancelled` on its row cancels it: its run hears of it, delivers
-- what is in progress and ends. What they wrote stays.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- The check that Darkroom made for its own table takes the other word, too; where the table was there, its checks stay.
-- Darkroom's own table has the status second.
do $$
declare
  v_ours constant text :=
    'CHECK ((job_status = ANY (ARRAY[''pending''::text, ''processing''::text, ''completed''::text, ''failed''::text,'
    || ' ''cancelled''::text])))';
begin
  if exists (
    select from pg_catalog.pg_constraint as checked
    join pg_catalog.pg_attribute as status on status.attrelid = checked.conrelid and status.attname = 'job_status'
    where checked.conrelid = 'public.quel_production_jobs'::regclass
      and checked.conname = 'quel_production_jobs_job_status_check' and status.attnum = 2
      and pg_catalog.pg_get_constraintdef(checked.oid) = v_ours
  ) then
    alter table public.quel_production_jobs drop constraint quel_production_jobs_job_status_check;
    alter table public.quel_production_jobs add constraint quel_production_jobs_job_status_check
      check (job_status in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled'));
  end if;
end
$$;

select public.darkroom_learn_words();

-- Lists look for one state after the other: `cancelled` has two words, and columns may be enums.
drop index if exists public.quel_production_jobs_newest;
drop index if exists public.quel_production_jobs_newest_of_status;
drop index if exists public.quel_production_jobs_page;
drop index if exists public.quel_production_jobs_page_of_member;
drop index if exists public.quel_production_jobs_page_of_all;
drop index if exists public.quel_production_jobs_page_of_user;

create index if not exists quel_job_runs_open on public.quel_job_runs (job_id) where closed_at is null;

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
    -- Darkroom takes a job from `pending` to `processing` with its run; without one, somebody else has begun it.
    return (
      select 'another worker has begun the job' from public.quel_production_jobs
      where job_id = p_job_id and p_job_status = 'processing' and current_run_id is null);
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

-- Release what is still held of jobs that have ended; gives the jobs that had such a hold.
create or replace function public.darkroom_release_ended_holds() returns jsonb
language sql security definer set search_path = '' as $$
  with released as (
    update public.quel_credit_holds as hold set amount = 0, released_at = clock_timestamp()
    where hold.released_at is null and exists (
      select 1 from public.quel_production_jobs as job
      where job.job_id = hold.job_id and public.darkroom_is_over(job.job_status::text, job.current_run_id))
    returning hold.job_id
  )
  select coalesce(jsonb_agg(job_id), '[]') from released
$$;

-- Whether this run ended the job, completed or cancelled, or failed before a time, and no later run has opened it.
create or replace function public.darkroom_may_remove_leftovers(
  p_job_id uuid, p_run_id text, p_failed_before timestamptz
) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (
    select 1 from public.quel_production_jobs
    where job_id = p_job_id and current_run_id = p_run_id
      and public.darkroom_is_over(job_status::text, current_run_id)
      and (job_status::text <> 'failed' or completed_at < p_failed_before))
$$;

-- Each line names one thing that is broken; without any, all is as it should be.
create or replace function public.darkroom_audit() returns jsonb
language sql stable security definer set search_path = '' as $$
  with delivered as (
    select job_id, count(*) as images from public.quel_attach
    where delivered_at is not null and job_id is not null group by job_id
  ), charged as (
    select job_id, attach_idx, count(*) as charges from public.quel_credits
    where transaction_type = 'DEDUCT' and idempotency_key is not null and job_id is not null
    group by job_id, attach_idx
  ), ours as (
    select * from public.quel_production_jobs where current_run_id is not null
  ), found (line) as (
    select format('member %s: balance %s is not opening balance + journal = %s',
      member.quel_member_id, quel_member_credit, opening_balance + coalesce(journal.amount, 0))
    from public.quel_member as member
    left join (
      select user_id as quel_member_id, sum(amount) as amount from public.quel_credits
      where org_id is null group by user_id
    ) as journal using (quel_member_id)
    where quel_member_credit <> opening_balance + coalesce(journal.amount, 0)
    union all
    select format('member %s: the balance %s is below 0', quel_member_id, quel_member_credit)
    from public.quel_member where quel_member_credit < 0
    union all
    select format('job %s: %s images are delivered, %s are charged',
      job_id, delivered.images, coalesce(journal.charges, 0))
    from ours join delivered using (job_id)
    left join (
      select job_id, count(*) as charges from public.quel_credits
      where transaction_type = 'DEDUCT' group by job_id
    ) as journal using (job_id)
    where quel_member_id is not null and delivered.images <> coalesce(journal.charges, 0)
    union all
    select format('job %s: attachment %s was charged without being delivered', charged.job_id, attach_idx)
    from charged left join public.quel_attach as image on image.attach_id = attach_idx
    where image.delivered_at is null
    union all
    select format('job %s: attachment %s was charged %s times', job_id, attach_idx, charges)
    from charged where charges > 1
    union all
    select format('job %s: its row lists %s times attachment %s, of which %s are delivered images of the job',
      ours.job_id, count(*), listed.id, count(image.attach_id))
    from ours cross join jsonb_array_elements_text(generated_attach_ids) as listed (id)
    left join public.quel_attach as image on image.attach_id = listed.id::bigint
      and image.job_id = ours.job_id and image.delivered_at is not null
    group by ours.job_id, listed.id having count(*) <> 1 or count(image.attach_id) <> 1
    union all
    select format('job %s: completed_images is %s, but %s ids are listed',
      job_id, completed_images, jsonb_array_length(generated_attach_ids))
    from ours where completed_images <> jsonb_array_length(generated_attach_ids)
    union all
    select format('job %s: ended with completed_images %s, but %s images are delivered',
      job_id, completed_images, coalesce(delivered.images, 0))
    from ours left join delivered using (job_id)
    where public.darkroom_is_over(job_status::text, current_run_id)
      and completed_images <> coalesce(delivered.images, 0)
    union all
    select format('job %s, stage %s: counts %s delivered images, but has %s',
      stage.job_id, stage.stage_index, stage.delivered_images, coalesce(counted.images, 0))
    from public.quel_job_stages as stage
    left join (
      select job_id, stage_index, count(*) as images from public.quel_attach
      where delivered_at is not null and job_id is not null group by job_id, stage_index
    ) as counted using (job_id, stage_index)
    where stage.delivered_images <> coalesce(counted.images, 0)
    union all
    select format('job %s: has ended, but its hold of %s credits is open', job_id, amount)
    from public.quel_credit_holds join public.quel_production_jobs using (job_id)
    where released_at is null and public.darkroom_is_over(job_status::text, current_run_id)
    union all
    select format('job %s: its open hold is %s, but %s missing images cost %s',
      hold.job_id, hold.amount, stages.missing, stages.missing * ours.unit_price)
    from public.quel_credit_holds as hold join ours using (job_id)
    join (
      select job_id, sum(target - delivered_images) as missing from public.quel_job_stages group by job_id
    ) as stages using (job_id)
    join public.quel_job_runs as run on run.run_id = ours.current_run_id
    where hold.released_at is null and run.failure is null
      and hold.amount <> stages.missing * ours.unit_price
  )
  select coalesce(jsonb_agg(line), '[]') from found
$$;

-- Rows of before Darkroom may be in states that it does not know, or in none; those are shown nowhere.
create or replace function public.darkroom_job(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_job_json(job) from public.quel_production_jobs as job
  where job.job_id = p_job_id and public.darkroom_status_of(job_status::text, current_run_id)
    in ('pending', 'processing', 'completed', 'failed', 'cancelled')
$$;

-- The newest jobs in one of some states, of a user or of all, behind a place in the list; their ids, not in order. Each
-- state is looked for by itself, in the order of its index, and as the column has it: it may be an enum. `cancelled` is
-- both words for it. Rows of before Darkroom may be in states that it does not know, or in none.
-- Planned for each call, so that what is not asked for falls away, and read in the order of the index that serves the
-- rest: a planner that expects few rows would rather sort all of them.
create or replace function public.darkroom_newest(
  p_limit integer, p_statuses text[], p_user_id uuid, p_before_created timestamptz, p_before_id uuid
) returns uuid[]
language plpgsql stable security definer
set search_path = '' set plan_cache_mode = 'force_custom_plan' set enable_sort = off as $$
declare
  v_words text[] := coalesce(p_statuses, '{pending,processing,completed,failed,cancelled}');
  v_word text;
  v_status public.quel_production_jobs.job_status%type;
  v_created timestamptz := coalesce(p_before_created, 'infinity');
  v_id uuid := coalesce(p_before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_ids uuid[] := '{}';
begin
  if 'cancelled' = any (v_words) then
    v_words := array_append(v_words, 'user_cancelled');
  end if;
  foreach v_word in array v_words loop
    begin
      v_status := v_word;
    exception when invalid_text_representation then
      continue;  -- no row can say it
    end;
    if p_user_id is null then
      v_ids := v_ids || array(
        select job.job_id from public.quel_production_jobs as job
        where job.job_status = v_status and (coalesce(job.created_at, 'epoch'), job.job_id) < (v_created, v_id)
        order by coalesce(job.created_at, 'epoch') desc, job.job_id desc limit p_limit);
    else
      -- As one range, or the index of the state alone would be walked for the jobs of the user.
      v_ids := v_ids || array(
        select job.job_id from public.quel_production_jobs as job
        where (job.quel_member_id, job.job_status, coalesce(job.created_at, 'epoch'), job.job_id)
            < (p_user_id, v_status, v_created, v_id)
          and (job.quel_member_id, job.job_status, coalesce(job.created_at, 'epoch'), job.job_id)
            > (p_user_id, v_status, '-infinity'::timestamptz, '00000000-0000-0000-0000-000000000000'::uuid)
        order by job.quel_member_id desc, job.job_status desc, coalesce(job.created_at, 'epoch') desc, job.job_id desc
        limit p_limit);
    end if;
  end loop;
  return v_ids;
end
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

-- A page of jobs in one of some states, newest first: those behind a job, whose place is that of its row, whatever time
-- was shown for it. Of order documents and lists of ids, which are long, no more than six ids leave the database.
create or replace function public.darkroom_list_jobs(
  p_limit integer, p_statuses text[], p_user_id uuid, p_before_created timestamptz, p_before_id uuid
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
    'error_message', page.error_message, 'title', page.title, 'first_attach_ids', page.first_attach_ids,
    'created_at', coalesce(page.created_at, page.started_at, page.updated_at, 'epoch'),
    'started_at', page.started_at, 'completed_at', page.completed_at
  ) order by coalesce(page.created_at, 'epoch') desc, page.job_id desc) into v_jobs
  from (
    select job.job_id, coalesce(job.order_type, job.job_type) as job_type, job.job_status, job.current_run_id,
      job.paused, job.cancel_requested,
      job.total_images, job.completed_images, job.failed_images, job.error_message, job.created_at, job.started_at,
      job.completed_at, job.updated_at,
      case when jsonb_typeof(job.generated_attach_ids) = 'array'
        then jsonb_path_query_array(job.generated_attach_ids, '$[0 to 5]') else '[]' end as first_attach_ids,
      (select left(stage.prompt, 200) from public.quel_job_stages as stage
       where stage.job_id = job.job_id order by stage.stage_index limit 1) as title
    from public.quel_production_jobs as job
    where job.job_id = any (public.darkroom_newest(p_limit, p_statuses, p_user_id, v_before, p_before_id))
    order by coalesce(job.created_at, 'epoch') desc, job.job_id desc limit p_limit
  ) as page;
  return coalesce(v_jobs, '[]');
end
$$;

-- The same for earlier processes, which ask for one state or for all.
create or replace function public.darkroom_job_page(
  p_limit integer, p_status text, p_user_id uuid, p_before_created timestamptz, p_before_id uuid
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_list_jobs(
    p_limit, case when p_status is not null then array[p_status] end, p_user_id, p_before_created, p_before_id)
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
      from public.quel_job_stages as stage where stage.job_id = job.job_id), '[]'))
  from public.quel_production_jobs as job
  where job.job_id = p_job_id and public.darkroom_status_of(job_status::text, current_run_id)
    in ('pending', 'processing', 'completed', 'failed', 'cancelled')
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
      job.job_id, job.current_run_id, public.darkroom_status_of(job.job_status::text, job.current_run_id) = 'processing',
      job.paused or job.cancel_requested or job.failing, p_most_frames))
  from public.quel_production_jobs as job
  where job.job_id = p_job_id and public.darkroom_status_of(job_status::text, current_run_id)
    in ('pending', 'processing', 'completed', 'failed', 'cancelled')
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
    where job.job_id = p_job_id and public.darkroom_status_of(job.job_status::text, job.current_run_id)
      in ('pending', 'processing', 'completed', 'failed', 'cancelled')
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

-- A row that says cancelled while its run is open holds every attempt, and no control that comes late takes that back.
-- Our own closing of a run is not meant: it closes the run before it writes the row.
create or replace function public.darkroom_note_cancelled_row() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.cancel_requested := public.darkroom_is_open(new.current_run_id);
  return new;
end
$$;
create or replace trigger darkroom_cancelled_row before update on public.quel_production_jobs
  for each row when (
    new.job_status::text in ('cancelled', 'user_cancelled')
    and new.current_run_id is not null and not new.cancel_requested)
  execute function public.darkroom_note_cancelled_row();

-- Jobs whose row somebody else set to cancelled, and whose run has not heard of it: its control would say why.
create or replace function public.darkroom_cancelled_rows(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(public.darkroom_job_json(job)), '[]')
  from public.quel_job_runs as run
  join public.quel_production_jobs as job on job.job_id = run.job_id and job.current_run_id = run.run_id
  where run.closed_at is null and (p_job_id is null or run.job_id = p_job_id)
    and job.job_status::text in ('cancelled', 'user_cancelled') and job.cancel_reason is null
$$;

-- Write another word for cancelled on a row, where the column takes it.
create or replace function public.darkroom_write_word(p_job_id uuid, p_word text) returns void
language plpgsql set search_path = '' as $$
declare
  v_word public.quel_production_jobs.job_status%type;
begin
  v_word := p_word;
  update public.quel_production_jobs set job_status = v_word
  where job_id = p_job_id and job_status::text in ('cancelled', 'user_cancelled') and job_status::text <> p_word;
exception when invalid_text_representation or check_violation then
  null;  -- what is there says cancelled, too
end
$$;

-- End the job under this run, with this word for cancelled; what somebody else wrote on its row stays, however it ends.
create or replace function public.darkroom_end_run(
  p_job_id uuid, p_run_id text, p_end text, p_error_message text, p_stages jsonb, p_cancelled text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_word text;
  v_open boolean;
  v_by_row boolean;
  v_receipt jsonb;
begin
  select job_status::text into v_word from public.quel_production_jobs where job_id = p_job_id for no key update;
  v_open := public.darkroom_is_open(p_run_id);
  v_by_row := v_open and v_word in ('cancelled', 'user_cancelled');
  v_receipt := public.darkroom_close_run(
    p_job_id, p_run_id, case when v_by_row then 'cancelled' else p_end end, p_error_message, p_stages);
  v_word := case when v_by_row then v_word else p_cancelled end;
  if v_open and v_receipt->>'status' = 'cancelled' and v_word <> 'cancelled' then
    perform public.darkroom_write_word(p_job_id, v_word);
  end if;
  return v_receipt;
end
$$;

-- End a job that no run has opened, with this word for cancelled.
create or replace function public.darkroom_cancel_unopened(p_job_id uuid, p_reason text, p_cancelled text)
returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  if not public.darkroom_cancel_pending(p_job_id, p_reason) then
    return false;
  end if;
  if p_cancelled <> 'cancelled' then
    perform public.darkroom_write_word(p_job_id, p_cancelled);
  end if;
  return true;
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127144700') on conflict do nothing;

notify pgrst, 'reload schema';
