-- Storybooks (spec §7): the book's row, and what became of its pages.

-- A book's row as far as pictures concern it; one without a folder has one of its own.
create or replace function public.darkroom_book_json(book public.quel_books) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'book_id', book.book_id, 'user_id', book.quel_member_id,
    'base_path', coalesce(nullif(book.base_path, ''), 'books/' || book.book_id))
$$;

-- A book by its id; null without one.
create or replace function public.darkroom_book(p_book_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_book_json(book) from public.quel_books as book where book.book_id = p_book_id
$$;

-- Make a book; one that is there stays as it is.
create or replace function public.darkroom_ensure_book(p_book_id uuid, p_user_id uuid, p_base_path text)
returns void
language sql security definer set search_path = '' as $$
  insert into public.quel_books (book_id, quel_member_id, base_path, updated_at)
  values (p_book_id, p_user_id, p_base_path, clock_timestamp())
  on conflict (book_id) do nothing
$$;

-- The book that a job draws; null without one.
create or replace function public.darkroom_book_of(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_book_json(book)
  from public.quel_production_jobs as job join public.quel_books as book on book.book_id = job.book_id
  where job.job_id = p_job_id
$$;

-- A page per stage, in order; its last error is that of the newest call that brought no picture.
create or replace function public.darkroom_book_pages(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'page', page.number, 'label', page.label, 'attach_id', page.attach_id, 'path', page.attach_file_path,
    'attempts', page.attempts, 'last_error', page.last_error) order by page.number), '[]')
  from (
    select row_number() over (order by stage.stage_index) as number, stage.label, image.attach_id,
      image.attach_file_path, (
        select count(*) from public.quel_generation_attempts as call
        where call.job_id = stage.job_id and call.stage_index = stage.stage_index) as attempts, (
        select call.reason from public.quel_generation_attempts as call
        where call.job_id = stage.job_id and call.stage_index = stage.stage_index and call.reason is not null
        order by call.attempt_id desc limit 1) as last_error
    from public.quel_job_stages as stage
    left join public.quel_attach as image on image.job_id = stage.job_id
      and image.stage_index = stage.stage_index and image.delivered_at is not null
    where stage.job_id = p_job_id
  ) as page
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
