-- What those read who watch: lists of jobs, one job in one look, and their keys to the HTTP API.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

-- Which of its models a provider drew with.
alter table public.quel_generation_attempts add column if not exists model text;

-- Few calls brought no picture, and few pictures wait to be settled; who watches asks for them again and again.
create index if not exists quel_generation_attempts_without_picture
  on public.quel_generation_attempts (job_id, stage_index, ordinal) where outcome is null or outcome <> 'generated';
create index if not exists quel_generation_attempts_round
  on public.quel_generation_attempts (run_id, stage_index, round);
create index if not exists quel_attach_waiting
  on public.quel_attach (job_id, stage_index, ordinal) where job_id is not null and delivered_at is null;
create index if not exists quel_attach_arrival
  on public.quel_attach (job_id, delivered_at, attach_id) where delivered_at is not null;

-- Lists of jobs: all, of a status, of a user, of both. Rows of before Darkroom may lack a time; those stand last.
create index if not exists quel_production_jobs_page_of_all
  on public.quel_production_jobs (coalesce(created_at, 'epoch'), job_id);
create index if not exists quel_production_jobs_page_of_status
  on public.quel_production_jobs (job_status, coalesce(created_at, 'epoch'), job_id);
create index if not exists quel_production_jobs_page_of_user
  on public.quel_production_jobs (quel_member_id, coalesce(created_at, 'epoch'), job_id);
create index if not exists quel_production_jobs_page_of_member_and_status
  on public.quel_production_jobs (quel_member_id, job_status, coalesce(created_at, 'epoch'), job_id);

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
  v_jobs jsonb;
begin
  select jsonb_agg(jsonb_build_object(
    'job_id', page.job_id, 'job_type', page.job_type, 'status', page.job_status, 'paused', page.paused,
    'cancel_requested', page.cancel_requested, 'total_images', coalesce(page.total_images, 0),
    'completed_images', coalesce(page.completed_images, 0), 'failed_images', coalesce(page.failed_images, 0),
    'error_message', page.error_message, 'title', page.title, 'first_attach_ids', page.first_attach_ids,
    'created_at', coalesce(page.created_at, page.started_at, page.updated_at, 'epoch'),
    'started_at', page.started_at, 'completed_at', page.completed_at
  ) order by coalesce(page.created_at, 'epoch') desc, page.job_id desc) into v_jobs
  from (
    select job.job_id, job.job_type, job.job_status, job.paused, job.cancel_requested, job.total_images,
      job.completed_images, job.failed_images, job.error_message, job.created_at, job.started_at, job.completed_at,
      job.updated_at,
      case when jsonb_typeof(job.generated_attach_ids) = 'array'
        then jsonb_path_query_array(job.generated_attach_ids, '$[0 to 5]') else '[]' end as first_attach_ids,
      (select left(stage.prompt, 200) from public.quel_job_stages as stage
       where stage.job_id = job.job_id order by stage.stage_index limit 1) as title
    from public.quel_production_jobs as job
    where job.job_status in ('pending', 'processing', 'completed', 'failed', 'cancelled')
      and (p_status is null or job.job_status = p_status)
      and (p_user_id is null or job.quel_member_id = p_user_id)
      and (coalesce(job.created_at, 'epoch'), job.job_id)
        < (v_before, coalesce(p_before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    order by coalesce(job.created_at, 'epoch') desc, job.job_id desc limit p_limit
  ) as page;
  return coalesce(v_jobs, '[]');
end
$$;

-- All stored stages, in order.
create or replace function public.darkroom_stages(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'stage_index', stage_index, 'label', label, 'prompt', prompt, 'quantity', quantity,
    'aspect_ratio', aspect_ratio, 'references', reference_images) order by stage_index), '[]')
  from public.quel_job_stages where job_id = p_job_id
$$;

-- As before; but with one index that can serve it, where a planner that had not heard of a large job yet took another
-- and walked over all its pictures.
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

-- As before; but each number by an index of its own, where one statement walked over every call of the stage.
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
  where job.job_id = p_job_id and job_status in ('pending', 'processing', 'completed', 'failed', 'cancelled')
$$;

-- Keys to the HTTP API: of each its hash alone, with which nobody can sign in.
create table if not exists public.quel_api_keys (
  key_id uuid primary key,
  quel_member_id uuid not null,
  name text not null,
  operator boolean not null default false,
  key_hash text not null unique,
  created_at timestamptz not null,
  revoked_at timestamptz
);
alter table public.quel_api_keys enable row level security;
revoke all on public.quel_api_keys from public, anon, authenticated;
grant all on public.quel_api_keys to service_role;

create or replace function public.darkroom_api_key_json(key public.quel_api_keys) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'key_id', key.key_id, 'user_id', key.quel_member_id, 'name', key.name, 'operator', key.operator,
    'created_at', key.created_at, 'revoked_at', key.revoked_at)
$$;

-- Keep a key; one that is there stays as it is.
create or replace function public.darkroom_add_api_key(
  p_key_id uuid, p_user_id uuid, p_name text, p_operator boolean, p_key_hash text
) returns void
language sql security definer set search_path = '' as $$
  insert into public.quel_api_keys (key_id, quel_member_id, name, operator, key_hash, created_at)
  values (p_key_id, p_user_id, p_name, p_operator, p_key_hash, clock_timestamp())
  on conflict (key_id) do nothing
$$;

create or replace function public.darkroom_api_key(p_key_hash text) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_api_key_json(key) from public.quel_api_keys as key
  where key.key_hash = p_key_hash and key.revoked_at is null
$$;

create or replace function public.darkroom_api_keys() returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(public.darkroom_api_key_json(key) order by key.created_at desc, key.key_id), '[]')
  from public.quel_api_keys as key
$$;

-- The first time is the one that is kept.
create or replace function public.darkroom_revoke_api_key(p_key_id uuid) returns boolean
language sql security definer set search_path = '' as $$
  with revoked as (
    update public.quel_api_keys set revoked_at = coalesce(revoked_at, clock_timestamp())
    where key_id = p_key_id returning 1
  )
  select exists (select from revoked)
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261125090000') on conflict do nothing;

notify pgrst, 'reload schema';
