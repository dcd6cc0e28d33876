-- What jobs are called, the words by which they are found, and jobs that are deleted.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

alter table public.quel_production_jobs add column if not exists job_name text;
alter table public.quel_attach add column if not exists deleted_at timestamptz;

create index if not exists quel_production_jobs_book
  on public.quel_production_jobs (book_id) where book_id is not null;
create index if not exists quel_production_jobs_short
  on public.quel_production_jobs (job_status, coalesce(created_at, 'epoch'), job_id) where failed_images > 0;

-- With their rights in one statement, so that they are open to nobody in between.
do $$
begin
  if to_regclass('public.quel_job_words') is null then
    create table if not exists public.quel_job_words (
      job_id uuid primary key references public.quel_production_jobs (job_id) on delete cascade,
      words text not null
    );
    alter table public.quel_job_words enable row level security;
    revoke all on public.quel_job_words from public, anon, authenticated;
    grant all on public.quel_job_words to service_role;
  end if;
  if to_regclass('public.quel_deleted_jobs') is null then
    create table if not exists public.quel_deleted_jobs (
      job_id uuid primary key references public.quel_production_jobs (job_id) on delete cascade,
      deleted_at timestamptz not null,
      cover text,
      files_removed_at timestamptz
    );
    create index quel_deleted_jobs_unfinished on public.quel_deleted_jobs (deleted_at) where files_removed_at is null;
    alter table public.quel_deleted_jobs enable row level security;
    revoke all on public.quel_deleted_jobs from public, anon, authenticated;
    grant all on public.quel_deleted_jobs to service_role;
  end if;
end
$$;

create or replace trigger darkroom_are_ours before insert or update on public.quel_attach
  for each row when (not pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_keep_columns('{"job_id": null, "stage_index": null, "ordinal": null, "quel_member_id": null, "sha256": null,
    "delivered_at": null, "delivered_run": null, "source_sha256": null, "source_media_type": null,
    "source_c2pa": null, "source_provider": null, "source_model": null, "deleted_at": null}');

-- Note what a job is found by from now on: as much of its name and its prompts as is searched.
create or replace function public.darkroom_note_words(p_job_id uuid) returns void
language sql set search_path = '' as $$
  insert into public.quel_job_words (job_id, words)
  select job.job_id, left(lower(concat_ws(E'\n', job.job_name, (
    select string_agg(said.prompt, E'\n' order by said.first)
    from (
      select prompt, min(stage_index) as first from public.quel_job_stages
      where job_id = p_job_id group by prompt
    ) as said))), 100000)
  from public.quel_production_jobs as job where job.job_id = p_job_id
  on conflict (job_id) do update set words = excluded.words where quel_job_words.words <> excluded.words
$$;

-- Give a job another name, or none.
create or replace function public.darkroom_rename_job(p_job_id uuid, p_name text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  update public.quel_production_jobs set job_name = p_name, updated_at = clock_timestamp()
  where job_id = p_job_id and job_name is distinct from p_name;
  if found then
    perform public.darkroom_note_words(p_job_id);
  elsif not exists (select from public.quel_production_jobs where job_id = p_job_id) then
    perform public.darkroom_not_found(p_job_id);
  end if;
end
$$;

-- Jobs with all of some words, in lower case, in their names and prompts, or at the beginning of their ids: of these at
-- most so many. Patterns are those words that are too short for an id, or have another sign.
create or replace function public.darkroom_saying(p_patterns text[], p_ids text[], p_limit integer) returns uuid[]
language sql stable set search_path = '' as $$
  select array(
    select noted.job_id from public.quel_job_words as noted
    where noted.words like all (p_patterns) and not exists (
      select from unnest(p_ids) as asked (word)
      where strpos(noted.words, word) = 0 and not starts_with(noted.job_id::text, word))
    limit p_limit)
$$;

-- The newest jobs behind a place in the list; their ids, not in order. The filter names states, a user, words, and the
-- moments between which they were created. Each state is looked for by itself, in the order of its index, and as the
-- column has it: it may be an enum. `cancelled` is both words for it, `running`, `paused` and `short` are parts of a
-- state. Rows of before Darkroom may be in states that it does not know, or in none.
-- What many jobs say is asked of one job after another, newest first: as a join, all of them would be read for each state.
-- Planned for each call, so that what is not asked for falls away, and read in the order of the index that serves the
-- rest: a planner that expects few rows would rather sort all of them.
create or replace function public.darkroom_found(
  p_limit integer, p_filter jsonb, p_before_created timestamptz, p_before_id uuid
) returns uuid[]
language plpgsql stable security definer
set search_path = '' set plan_cache_mode = 'force_custom_plan' set enable_sort = off as $$
declare
  c_few constant integer := 1000;
  v_states text[] := case when jsonb_typeof(p_filter->'statuses') = 'array'
    then array(select jsonb_array_elements_text(p_filter->'statuses'))
    else '{pending,processing,completed,failed,cancelled}' end;
  v_user uuid := p_filter->>'user_id';
  v_from timestamptz := coalesce((p_filter->>'since')::timestamptz, '-infinity');
  v_created timestamptz := coalesce(p_before_created, 'infinity');
  v_id uuid := coalesce(p_before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_patterns text[];
  v_words text[];
  v_saying uuid[];
  v_state text;
  v_status public.quel_production_jobs.job_status%type;
  v_paused boolean;
  v_ids uuid[] := '{}';
begin
  if (p_filter->>'until')::timestamptz <= v_created then
    v_created := p_filter->>'until';
    v_id := '00000000-0000-0000-0000-000000000000';
  end if;
  if jsonb_array_length(p_filter->'words') > 0 then
    select coalesce(array_agg('%' || regexp_replace(word, '([\\%_])', '\\\1', 'g') || '%') filter (where not by_id), '{}'),
      coalesce(array_agg(word) filter (where by_id), '{}')
    into v_patterns, v_words
    from (
      select word, word ~ '^[0-9a-f][0-9a-f-]{5,35}$' as by_id
      from jsonb_array_elements_text(p_filter->'words') as asked (word)
    ) as each;
    v_saying := public.darkroom_saying(v_patterns, v_words, c_few + 1);
  end if;
  if 'cancelled' = any (v_states) then
    v_states := array_append(v_states, 'user_cancelled');
  end if;
  foreach v_state in array v_states loop
    v_paused := case v_state when 'running' then false when 'paused' then true end;
    begin
      v_status := case v_state when 'running' then 'processing' when 'paused' then 'processing'
        when 'short' then 'completed' else v_state end;
    exception when invalid_text_representation then
      continue;  -- no row can say it
    end;
    if cardinality(v_saying) <= c_few then
      -- Few enough to look each up; without the offset a planner would rather walk over all jobs.
      v_ids := v_ids || array(
        select job.job_id from unnest(v_saying) as said (job_id) cross join lateral (
          select * from public.quel_production_jobs as one where one.job_id = said.job_id offset 0) as job
        where job.job_status = v_status and (v_user is null or job.quel_member_id = v_user)
          and (coalesce(job.created_at, 'epoch'), job.job_id) < (v_created, v_id)
          and coalesce(job.created_at, 'epoch') >= v_from
          and (v_paused is null or job.paused = v_paused) and (v_state <> 'short' or job.failed_images > 0)
          and not exists (select from public.quel_deleted_jobs as gone where gone.job_id = job.job_id));
    elsif v_state = 'short' then
      v_ids := v_ids || array(
        select job.job_id from public.quel_production_jobs as job
        where job.job_status = v_status and job.failed_images > 0
          and (coalesce(job.created_at, 'epoch'), job.job_id) < (v_created, v_id)
          and coalesce(job.created_at, 'epoch') >= v_from
          and (v_user is null or job.quel_member_id = v_user)
          and (v_saying is null or (
            select noted.words like all (v_patterns) and not exists (
              select from unnest(v_words) as asked (word)
              where strpos(noted.words, word) = 0 and not starts_with(noted.job_id::text, word))
            from public.quel_job_words as noted where noted.job_id = job.job_id))
          and not exists (select from public.quel_deleted_jobs as gone where gone.job_id = job.job_id)
        order by job.job_status desc, coalesce(job.created_at, 'epoch') desc, job.job_id desc limit p_limit);
    elsif v_user is null then
      v_ids := v_ids || array(
        select job.job_id from public.quel_production_jobs as job
        where job.job_status = v_status and (coalesce(job.created_at, 'epoch'), job.job_id) < (v_created, v_id)
          and coalesce(job.created_at, 'epoch') >= v_from
          and (v_paused is null or job.paused = v_paused) and (v_saying is null or (
            select noted.words like all (v_patterns) and not exists (
              select from unnest(v_words) as asked (word)
              where strpos(noted.words, word) = 0 and not starts_with(noted.job_id::text, word))
            from public.quel_job_words as noted where noted.job_id = job.job_id))
          and not exists (select from public.quel_deleted_jobs as gone where gone.job_id = job.job_id)
        order by coalesce(job.created_at, 'epoch') desc, job.job_id desc limit p_limit);
    else
      -- As one range, or the index of the state alone would be walked for the jobs of the user.
      v_ids := v_ids || array(
        select job.job_id from public.quel_production_jobs as job
        where (job.quel_member_id, job.job_status, coalesce(job.created_at, 'epoch'), job.job_id)
            < (v_user, v_status, v_created, v_id)
          and (job.quel_member_id, job.job_status, coalesce(job.created_at, 'epoch'), job.job_id)
            > (v_user, v_status, v_from, '00000000-0000-0000-0000-000000000000'::uuid)
          and (v_paused is null or job.paused = v_paused) and (v_saying is null or (
            select noted.words like all (v_patterns) and not exists (
              select from unnest(v_words) as asked (word)
              where strpos(noted.words, word) = 0 and not starts_with(noted.job_id::text, word))
            from public.quel_job_words as noted where noted.job_id = job.job_id))
          and not exists (select from public.quel_deleted_jobs as gone where gone.job_id = job.job_id)
        order by job.quel_member_id desc, job.job_status desc, coalesce(job.created_at, 'epoch') desc, job.job_id desc
        limit p_limit);
    end if;
  end loop;
  return v_ids;
end
$$;

-- The newest jobs in one of some states, of a user or of all; see darkroom_found.
create or replace function public.darkroom_newest(
  p_limit integer, p_statuses text[], p_user_id uuid, p_before_created timestamptz, p_before_id uuid
) returns uuid[]
language sql stable security definer set search_path = '' as $$
  select public.darkroom_found(
    p_limit, jsonb_build_object('statuses', p_statuses, 'user_id', p_user_id), p_before_created, p_before_id)
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

-- The newest jobs that a filter lets through, as whole rows.
create or replace function public.darkroom_find_rows(p_limit integer, p_filter jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(
    public.darkroom_job_json(page) order by coalesce(page.created_at, 'epoch') desc, page.job_id desc), '[]')
  from (
    select * from public.quel_production_jobs
    where job_id = any (public.darkroom_found(p_limit, p_filter, null, null))
    order by coalesce(created_at, 'epoch') desc, job_id desc limit p_limit
  ) as page
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

-- Store a job as pending; one that is there stays as it is. Answers whether it was stored. Where a job needs a
-- production, one is made for it.
create or replace function public.darkroom_create_job(p_job jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
  v_production uuid := p_job->>'production_id';
  v_stored boolean;
begin
  if exists (select from public.quel_production_jobs where job_id = (p_job->>'job_id')::uuid) then
    return false;
  end if;
  if v_production is null and exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'public.quel_production_jobs'::regclass and attname = 'production_id' and attnotnull
  ) then
    v_production := gen_random_uuid();
    perform public.darkroom_insert('quel_production_photo', jsonb_build_object(
      'production_id', v_production, 'quel_member_id', p_job->'user_id', 'org_id', p_job->'org_id',
      'production_name', left(coalesce(p_job#>>'{document,name}', p_job->>'job_type'), 120),
      'production_status', 'pending', 'pipeline_type', p_job->'job_type', 'total_quantity', p_job->'total_images'));
  end if;
  v_stored := public.darkroom_insert_job(jsonb_build_object(
    'job_id', p_job->'job_id', 'job_type', p_job->'job_type', 'job_status', 'pending',
    'quel_member_id', p_job->'user_id', 'org_id', p_job->'org_id', 'production_id', v_production,
    'job_input_data', p_job->'document', 'total_images', p_job->'total_images', 'priority', p_job->'priority', 'webhook_url', p_job->'webhook_url',
    'job_name', p_job->'name', 'created_at', v_now, 'updated_at', v_now));
  if not v_stored and p_job->>'production_id' is null then
    delete from public.quel_production_photo where production_id = v_production;
  end if;
  if v_stored then
    perform public.darkroom_note_words((p_job->>'job_id')::uuid);
  end if;
  return v_stored;
end
$$;

-- The stages and terms of the first opening; they hold for every restart. So does who pays: the hold says it.
create or replace function public.darkroom_store_order(p_job_id uuid, p_order jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.quel_job_stages (
    job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images,
    format, image_size, unit_price)
  select p_job_id, stage.stage_index, stage.label, stage.prompt, stage.quantity, stage.target,
    stage.aspect_ratio, stage."references", stage.format, stage.image_size, stage.unit_price
  from jsonb_to_recordset(p_order->'stages') as stage (
    stage_index integer, label text, prompt text, quantity integer, target integer, aspect_ratio text,
    "references" jsonb, format text, image_size text, unit_price integer);
  update public.quel_production_jobs
  set job_type = coalesce(job_type, p_order->>'job_type'),
    order_type = nullif(p_order->>'job_type', coalesce(job_type, p_order->>'job_type')),
    quel_member_id = (p_order->>'user_id')::uuid, org_id = coalesce((p_order->>'org_id')::uuid, org_id),
    production_id = coalesce((p_order->>'production_id')::uuid, production_id),
    total_images = (p_order->>'total_images')::integer,
    unit_price = (p_order->>'unit_price')::integer, max_top_ups = (p_order->>'max_top_ups')::integer,
    max_credits = (p_order->>'max_credits')::integer, provider = p_order->>'provider',
    priority = (p_order->>'priority')::integer, book_id = (p_order->>'book_id')::uuid,
    webhook_url = p_order->>'webhook_url', job_name = coalesce(job_name, p_order->>'name')
  where job_id = p_job_id;
  perform public.darkroom_note_words(p_job_id);
  insert into public.quel_credit_holds (job_id, quel_member_id, org_id, amount)
  select job_id, quel_member_id, org_id, 0 from public.quel_production_jobs
  where job_id = p_job_id and quel_member_id is not null
  on conflict (job_id) do nothing;
end
$$;

-- The cover of a book whose pictures no other job has made, so that it goes with this one; null for any other.
create or replace function public.darkroom_cover(p_job_id uuid, p_book_id uuid) returns text
language sql stable set search_path = '' as $$
  select book.cover_image from public.quel_books as book
  where book.book_id = p_book_id
    and book.cover_image = trim('/' from public.darkroom_book_json(book)->>'base_path') || '/images/cover.png'
    and not exists (
      select from public.quel_production_jobs as other
      where other.book_id = p_book_id and other.job_id <> p_job_id
        and not exists (select from public.quel_deleted_jobs as gone where gone.job_id = other.job_id))
$$;

-- Why a job cannot be deleted now, as the end of a sentence about it; null where it can.
create or replace function public.darkroom_no_delete(job public.quel_production_jobs) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_status text := public.darkroom_status_of(job.job_status::text, job.current_run_id);
  v_other uuid;
  v_pictures bigint;
begin
  if v_status not in ('completed', 'failed', 'cancelled') then
    return format('is %s; cancel it first, or wait until it ends', v_status);
  end if;
  if job.current_run_id is null and v_status <> 'cancelled'
    or exists (select from public.quel_earlier_pictures as earlier where earlier.job_id = job.job_id)
  then
    return 'was made before Darkroom; delete it in the application that made it';
  end if;
  -- Each step looks up what the one before found, whatever a planner expects there to be.
  select other.job_id, count(distinct reference->>'attach_id') into v_other, v_pictures
  from (
    select job_id from public.quel_production_jobs where job_status = 'pending'
    union all select job_id from public.quel_production_jobs where job_status = 'processing'
  ) as other cross join lateral (
    select stage.reference_images from public.quel_job_stages as stage
    where stage.job_id = other.job_id and stage.reference_images <> '[]' offset 0
  ) as stage cross join lateral jsonb_array_elements(stage.reference_images) as reference
  where other.job_id <> job.job_id and (
    select image.job_id from public.quel_attach as image
    where image.attach_id = (reference->>'attach_id')::bigint) = job.job_id
  group by other.job_id order by other.job_id limit 1;
  if found then
    return format('cannot be deleted yet: job %s, which has not ended, is drawn after %s', v_other,
      case when v_pictures = 1 then 'one of its pictures' else to_char(v_pictures, 'FM999,999') || ' of its pictures' end);
  end if;
  return null;
end
$$;

-- What deleting a job removes, or has removed.
create or replace function public.darkroom_deletion_of(job public.quel_production_jobs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'job_id', job.job_id, 'name', job.job_name,
    'status', public.darkroom_status_of(job.job_status::text, job.current_run_id), 'completed_at', job.completed_at,
    'pictures', images.pictures, 'bytes', images.bytes, 'marks', images.marks,
    'references', coalesce((
      select sum(jsonb_array_length(stage.reference_images)) from public.quel_job_stages as stage
      where stage.job_id = job.job_id), 0),
    'deleted_at', gone.deleted_at, 'files_removed', gone.files_removed_at is not null,
    'cover', case when gone.job_id is null then public.darkroom_cover(job.job_id, job.book_id) else gone.cover end,
    'refusal', case when gone.job_id is null then public.darkroom_no_delete(job) end)
  from (
    select count(*) as pictures, coalesce(sum(image.attach_file_size), 0) as bytes,
      count(*) filter (where image.attach_file_path like '%.original.%') as marks
    from public.quel_attach as image where image.job_id = job.job_id and image.delivered_at is not null
  ) as images
  left join public.quel_deleted_jobs as gone on gone.job_id = job.job_id
$$;

-- The same for a job's id; null without a row.
create or replace function public.darkroom_deletion(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_deletion_of(job) from public.quel_production_jobs as job
  where job.job_id = p_job_id and public.darkroom_status_of(job_status::text, current_run_id)
    in ('pending', 'processing', 'completed', 'failed', 'cancelled')
$$;

-- Delete all that a job shows but its files; where that is not possible, the answer says why. Deleted before, nothing
-- changes.
create or replace function public.darkroom_begin_delete(p_job_id uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_found jsonb;
  v_now timestamptz := clock_timestamp();
begin
  perform 1 from public.quel_production_jobs where job_id = p_job_id for no key update;
  v_found := public.darkroom_deletion(p_job_id);
  if v_found is null then
    perform public.darkroom_not_found(p_job_id);
  end if;
  if v_found->>'deleted_at' is not null or v_found->>'refusal' is not null then
    return v_found;
  end if;
  insert into public.quel_deleted_jobs (job_id, deleted_at, cover) values (p_job_id, v_now, v_found->>'cover');
  update public.quel_attach set deleted_at = v_now where job_id = p_job_id and delivered_at is not null;
  delete from public.quel_attach where job_id = p_job_id and delivered_at is null;
  update public.quel_job_stages set label = 'stage ' || stage_index, prompt = '', reference_images = '[]'
  where job_id = p_job_id;
  delete from public.quel_job_words where job_id = p_job_id;
  update public.quel_production_jobs set job_name = null, job_input_data = '{}', updated_at = v_now
  where job_id = p_job_id;
  if v_found->>'cover' is not null then
    update public.quel_books set cover_image = null, updated_at = v_now
    where book_id = (select book_id from public.quel_production_jobs where job_id = p_job_id);
  end if;
  return v_found || jsonb_build_object('deleted_at', v_now);
end
$$;

-- A page of the files of a deleted job, by the ids of its pictures.
create or replace function public.darkroom_deleted_files(p_job_id uuid, p_after bigint, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_files jsonb;
begin
  select jsonb_build_object('user_id', job.quel_member_id, 'cover', gone.cover, 'pictures', coalesce((
      select jsonb_agg(jsonb_build_array(page.attach_id, page.path) order by page.attach_id) from (
        select image.attach_id, public.darkroom_path(image) as path from public.quel_attach as image
        where image.job_id = p_job_id and image.attach_id > p_after and image.delivered_at is not null
        order by image.attach_id limit p_limit
      ) as page), '[]'))
  into v_files
  from public.quel_deleted_jobs as gone join public.quel_production_jobs as job using (job_id)
  where gone.job_id = p_job_id;
  if v_files is null then
    raise sqlstate 'PT404' using message = format('job %s was not deleted', p_job_id);
  end if;
  return v_files;
end
$$;

-- Note that the files of a deleted job are gone.
create or replace function public.darkroom_finish_delete(p_job_id uuid) returns void
language sql security definer set search_path = '' as $$
  update public.quel_deleted_jobs set files_removed_at = clock_timestamp()
  where job_id = p_job_id and files_removed_at is null
$$;

-- Deleted jobs whose files may still be there, the oldest first.
create or replace function public.darkroom_unfinished_deletes(p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(page.job_id order by page.deleted_at), '[]') from (
    select job_id, deleted_at from public.quel_deleted_jobs where files_removed_at is null
    order by deleted_at limit p_limit
  ) as page
$$;

-- What deleting jobs would remove that ended before a moment: a page of them, the oldest first, behind a place.
create or replace function public.darkroom_ended_jobs(
  p_before timestamptz, p_after_at timestamptz, p_after_id uuid, p_limit integer
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(public.darkroom_deletion_of(page) order by page.completed_at, page.job_id), '[]')
  from (
    select job.* from public.quel_production_jobs as job
    where job.completed_at < p_before and job.completed_at >= coalesce(p_after_at, '-infinity')
      and (job.completed_at, job.job_id)
        > (coalesce(p_after_at, '-infinity'), coalesce(p_after_id, '00000000-0000-0000-0000-000000000000'))
      and public.darkroom_is_over(job.job_status::text, job.current_run_id)
      and (job.current_run_id is not null or job.job_status::text in ('cancelled', 'user_cancelled'))
      and not exists (select from public.quel_deleted_jobs as gone where gone.job_id = job.job_id)
      and not exists (select from public.quel_earlier_pictures as earlier where earlier.job_id = job.job_id)
    order by job.completed_at, job.job_id limit p_limit
  ) as page
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
  if exists (select from public.quel_deleted_jobs where job_id = p_job_id) then
    return 'the job was deleted; its pictures and prompts are gone';
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

-- Those that exist and can be shown (uploads, and images that were delivered), with their owners.
create or replace function public.darkroom_reference_owners(p_attach_ids bigint[]) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'attach_id', attach_id, 'user_id', public.darkroom_owner(image), 'name', attach_original_name)), '[]')
  from public.quel_attach as image
  where attach_id = any (p_attach_ids) and (job_id is null or (delivered_at is not null and deleted_at is null))
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
  where attach_id = p_attach_id and stored.path is not null and (job_id is null or (delivered_at is not null and deleted_at is null))
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

-- Jobs of before are found too.
do $$
begin
  perform public.darkroom_note_words(job.job_id) from public.quel_production_jobs as job
  where not exists (select from public.quel_job_words as noted where noted.job_id = job.job_id)
    and exists (select from public.quel_job_stages as stage where stage.job_id = job.job_id);
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127211000') on conflict do nothing;

notify pgrst, 'reload schema';
