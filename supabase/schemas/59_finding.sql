-- What jobs are called, and how they are found.

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
