-- Pictures that jobs of before Darkroom made (spec §1): whose they are is kept in a table that only the service role
-- reaches, filled here from the rows that are there and from then on by a trigger.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- The attachments that a row lists, in its order; what is no number is left out. The cast has the condition too,
-- because a plan may come to it first.
create or replace function public.darkroom_listed_ids(p_ids jsonb)
returns table (attach_id bigint, place integer)
language sql immutable set search_path = '' as $$
  select case when listed.id ~ '^[0-9]{1,18}$' then listed.id::bigint end, (listed.place - 1)::integer
  from jsonb_array_elements_text(case when jsonb_typeof(p_ids) = 'array' then p_ids else '[]' end)
    with ordinality as listed (id, place)
  where listed.id ~ '^[0-9]{1,18}$'
$$;

-- Filled once, with the table: what a user writes into a row later is never taken for true. The lock keeps rows as they
-- are until the trigger is there. Of several rows that list a picture the oldest one made it.
do $$
begin
  if to_regclass('public.quel_earlier_pictures') is null then
    create table if not exists public.quel_earlier_pictures (
      attach_id bigint primary key references public.quel_attach (attach_id) on delete cascade,
      job_id uuid not null references public.quel_production_jobs (job_id) on delete cascade,
      quel_member_id uuid,
      place integer not null
    );
    alter table public.quel_earlier_pictures enable row level security;
    revoke all on public.quel_earlier_pictures from public, anon, authenticated;
    grant all on public.quel_earlier_pictures to service_role;
    create index quel_earlier_pictures_of on public.quel_earlier_pictures (job_id, attach_id);
    lock table public.quel_production_jobs in share row exclusive mode;
    insert into public.quel_earlier_pictures (attach_id, job_id, quel_member_id, place)
    select distinct on (listed.attach_id) listed.attach_id, job.job_id, job.quel_member_id, listed.place
    from public.quel_production_jobs as job
    cross join lateral public.darkroom_listed_ids(job.generated_attach_ids) as listed
    join public.quel_attach as image on image.attach_id = listed.attach_id
    where job.current_run_id is null and image.job_id is null and image.quel_member_id is null
    order by listed.attach_id, job.created_at nulls last, job.job_id, listed.place;
  end if;
end
$$;

-- Note the pictures that a worker of before adds to a job's row. Only what is added: the service role may write back
-- what a user wrote. A picture that has an owner, or belongs to another job, stays theirs.
create or replace function public.darkroom_note_earlier_pictures() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_before jsonb;
begin
  if tg_op = 'UPDATE' then
    v_before := old.generated_attach_ids;
  end if;
  insert into public.quel_earlier_pictures (attach_id, job_id, quel_member_id, place)
  select distinct on (listed.attach_id) listed.attach_id, new.job_id, new.quel_member_id, listed.place
  from public.darkroom_listed_ids(new.generated_attach_ids) as listed
  join public.quel_attach as image on image.attach_id = listed.attach_id
  where image.job_id is null and image.quel_member_id is null
    and listed.attach_id not in (select before.attach_id from public.darkroom_listed_ids(v_before) as before)
  order by listed.attach_id, listed.place
  on conflict (attach_id) do nothing;
  return null;
end
$$;

create or replace trigger darkroom_earlier_pictures
  after insert or update of generated_attach_ids on public.quel_production_jobs
  for each row
  when (new.current_run_id is null and pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_note_earlier_pictures();

-- Who owns a picture; null where nobody is known.
create or replace function public.darkroom_owner(image public.quel_attach) returns uuid
language sql stable set search_path = '' as $$
  select coalesce(image.quel_member_id, (
    select earlier.quel_member_id from public.quel_earlier_pictures as earlier
    where earlier.attach_id = image.attach_id))
$$;

-- What a job without a run of ours made, as delivered images are shown. A row that has another member than it had shows
-- none.
create or replace function public.darkroom_earlier_images(p_job_id uuid)
returns table (
  attach_id bigint, stage_index integer, ordinal integer, path text, size bigint, sha256 text,
  delivered_at timestamptz)
language sql stable set search_path = '' as $$
  select earlier.attach_id, 0, earlier.place, public.darkroom_path(image), coalesce(image.attach_file_size, 0)::bigint,
    image.sha256, coalesce(image.created_at, job.completed_at, job.updated_at, job.created_at, 'epoch')
  from public.quel_earlier_pictures as earlier
  join public.quel_production_jobs as job on job.job_id = earlier.job_id
  join public.quel_attach as image on image.attach_id = earlier.attach_id
  where earlier.job_id = p_job_id and job.current_run_id is null
    and earlier.quel_member_id is not distinct from job.quel_member_id and public.darkroom_path(image) is not null
$$;

-- The one stage as which such a job is shown; null without pictures.
create or replace function public.darkroom_earlier_stages(job public.quel_production_jobs, p_most_ids integer)
returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_agg(jsonb_build_object(
    'stage_index', 0, 'label', '', 'quantity', stage.quantity, 'completed', stage.images, 'in_flight', 0,
    'round', 0, 'status', case when stage.images < stage.quantity then 'short' else 'complete' end, 'reason', null,
    'missed', 0, 'refused', 0, 'attach_ids', case when stage.quantity <= p_most_ids then stage.ids end))
  from (
    select greatest(job.total_images, max(ordinal) + 1) as quantity, count(*) as images,
      jsonb_agg(attach_id order by ordinal) as ids
    from public.darkroom_earlier_images(job.job_id)
  ) as stage
  where stage.images > 0
$$;

-- Those that exist and can be shown (uploads, and images that were delivered), with their owners.
create or replace function public.darkroom_reference_owners(p_attach_ids bigint[]) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'attach_id', attach_id, 'user_id', public.darkroom_owner(image), 'name', attach_original_name)), '[]')
  from public.quel_attach as image
  where attach_id = any (p_attach_ids) and (job_id is null or delivered_at is not null)
$$;

-- Rows of before Darkroom may lack a type; what they were, mostly, is WebP.
create or replace function public.darkroom_stored_file(p_attach_id bigint) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'attach_id', attach_id, 'path', stored.path, 'user_id', public.darkroom_owner(image),
    'media_type', coalesce(nullif(attach_file_type, ''), case lower(substring(stored.path from '[^.]*$'))
      when 'png' then 'image/png' when 'jpg' then 'image/jpeg' when 'jpeg' then 'image/jpeg'
      else 'image/webp' end))
  from public.quel_attach as image cross join lateral (select public.darkroom_path(image) as path) as stored
  where attach_id = p_attach_id and stored.path is not null and (job_id is null or delivered_at is not null)
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
      where attach_id > p_after and delivered_at is not null order by attach_id limit p_limit
    ) as page;
  else
    perform 1 from public.quel_production_jobs where job_id = p_job_id;
    if not found then
      perform public.darkroom_not_found(p_job_id);
    end if;
    select jsonb_agg(public.darkroom_images_json(page) order by page.attach_id) into v_images from (
      select * from public.quel_attach
      where job_id = p_job_id and attach_id > p_after and delivered_at is not null
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
      public.darkroom_first_pictures(job) as first_attach_ids,
      (select left(stage.prompt, 200) from public.quel_job_stages as stage
       where stage.job_id = job.job_id order by stage.stage_index limit 1) as title
    from public.quel_production_jobs as job
    where job.job_id = any (public.darkroom_newest(p_limit, p_statuses, p_user_id, v_before, p_before_id))
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
        (
          select attach_id, stage_index, ordinal, attach_file_path, attach_file_size, sha256, delivered_at
          from public.quel_attach
          where job_id = p_job_id and delivered_at is not null
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
  from public.quel_production_jobs as job
  where job.job_id = p_job_id and public.darkroom_status_of(job_status::text, current_run_id)
    in ('pending', 'processing', 'completed', 'failed', 'cancelled')
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127171000') on conflict do nothing;

notify pgrst, 'reload schema';
