-- Deleting ended jobs: what they show goes, what they cost stays (spec §8). The files go afterwards.

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
