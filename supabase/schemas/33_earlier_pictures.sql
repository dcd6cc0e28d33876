-- Pictures that jobs of before Darkroom made (spec §1). A row says in `generated_attach_ids` which ones, but users may
-- be allowed to write it; so whose they are is kept in a table that only the service role reaches.

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
  insert into public.quel_earlier_pictures (attach_id, job_id, quel_member_id, place, path)
  select distinct on (listed.attach_id) listed.attach_id, new.job_id, new.quel_member_id, listed.place,
    public.darkroom_path(image)
  from public.darkroom_listed_ids(new.generated_attach_ids) as listed
  join public.quel_attach as image on image.attach_id = listed.attach_id
  where image.job_id is null and image.quel_member_id is null
    and listed.attach_id not in (select before.attach_id from public.darkroom_listed_ids(v_before) as before)
  order by listed.attach_id, listed.place
  on conflict (attach_id) do nothing;
  return null;
end
$$;
create trigger darkroom_earlier_pictures
  after insert or update of generated_attach_ids on public.quel_production_jobs
  for each row
  when (new.current_run_id is null and pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_note_earlier_pictures();

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
