-- Signed-in users read the pictures that jobs of before Darkroom made for them through Supabase's own addresses, too.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- Filled once, with the column: what a user writes into a row later is never taken for true.
do $$
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'public.quel_earlier_pictures'::regclass and attname = 'path' and not attisdropped
  ) then
    alter table public.quel_earlier_pictures add column path text;
    update public.quel_earlier_pictures as earlier set path = public.darkroom_path(image)
    from public.quel_attach as image where image.attach_id = earlier.attach_id;
  end if;
end
$$;
create index if not exists quel_earlier_pictures_path on public.quel_earlier_pictures (path);

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

-- Let signed-in users read their own pictures through Supabase's own addresses: those of a bucket that are delivered to
-- them, or that jobs of before Darkroom made for them, and no others (spec §3). Users may be allowed to write paths, so
-- an earlier picture is read where it was when it was noted, and never in the folder of another user or of staging. False without the Storage server's table, or for a role that may not make policies on it.
-- What a policy asks is asked as the user, so it lies beside the functions that are for the service role alone, in a
-- schema that the API does not offer; a deployment's grants on quel_attach make no difference.
create or replace function public.darkroom_share_pictures(p_bucket text) returns boolean
language plpgsql set search_path = '' as $$
begin
  if to_regclass('storage.objects') is null then
    return false;
  end if;
  if to_regnamespace('darkroom') is null then
    create schema darkroom;
  end if;
  grant usage on schema darkroom to authenticated;
  execute format($function$
    create or replace function %I.is_own_picture(p_path text) returns boolean
    language sql stable security definer set search_path = '' as $body$
      select exists (
        select from public.quel_attach
        where quel_member_id = (select auth.uid()) and attach_file_path = p_path and delivered_at is not null)
    $body$
  $function$, 'darkroom');
  execute format($function$
    create or replace function %I.is_own_earlier_picture(p_path text) returns boolean
    language sql stable security definer set search_path = '' as $body$
      select not starts_with(p_path, 'staging/')
        and (p_path !~* '^generated-images/user-[0-9a-f]{8}-'
          or starts_with(p_path, 'generated-images/user-' || (select auth.uid()) || '/'))
        and exists (
          select from public.quel_earlier_pictures as earlier
          join public.quel_production_jobs as job on job.job_id = earlier.job_id
          where earlier.path = p_path and earlier.quel_member_id = (select auth.uid())
            and job.quel_member_id = earlier.quel_member_id)
    $body$
  $function$, 'darkroom');
  revoke all on function darkroom.is_own_picture(text), darkroom.is_own_earlier_picture(text) from public, anon;
  grant execute on function darkroom.is_own_picture(text), darkroom.is_own_earlier_picture(text) to authenticated;
  if exists (select from pg_catalog.pg_policies where policyname = 'darkroom_read_own_pictures') then
    drop policy darkroom_read_own_pictures on storage.objects;
  end if;
  execute format($policy$
    create policy darkroom_read_own_pictures on storage.objects for select to authenticated using (
      bucket_id = %L and ((starts_with(name, 'generated-images/user-' || (select auth.uid()) || '/')
        and darkroom.is_own_picture(name)) or darkroom.is_own_earlier_picture(name)))
  $policy$, p_bucket);
  return true;
exception when insufficient_privilege then
  return false;
end
$$;

select public.darkroom_close_functions();

-- The policy anew, for the bucket that was chosen. Without one, there was no Storage server, or no right to make one.
select public.darkroom_share_pictures(
  replace(substring(policy.qual from $pattern$bucket_id = '((?:[^']|'')+)'$pattern$), $$''$$, $$'$$))
from pg_catalog.pg_policies as policy where policy.policyname = 'darkroom_read_own_pictures';

insert into public.quel_schema_versions (version) values ('20261127182000') on conflict do nothing;

notify pgrst, 'reload schema';
