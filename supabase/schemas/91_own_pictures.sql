-- Pictures in the Storage server, for signed-in users.

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

-- The default of SUPABASE_BUCKET. With another bucket, or where the Storage server came later, its owner calls it again.
select public.darkroom_share_pictures('attachments');
