-- A signed-in user reads their own pictures through Supabase's own addresses.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- Let signed-in users read their own pictures through Supabase's own addresses: those of a bucket that are delivered to
-- them, and no others (spec §3). False without the Storage server's table, or for a role that may not make policies on it.
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
  revoke all on function darkroom.is_own_picture(text) from public, anon;
  grant execute on function darkroom.is_own_picture(text) to authenticated;
  if exists (select from pg_catalog.pg_policies where policyname = 'darkroom_read_own_pictures') then
    drop policy darkroom_read_own_pictures on storage.objects;
  end if;
  execute format($policy$
    create policy darkroom_read_own_pictures on storage.objects for select to authenticated using (
      bucket_id = %L and starts_with(name, 'generated-images/user-' || (select auth.uid()) || '/')
      and darkroom.is_own_picture(name))
  $policy$, p_bucket);
  return true;
exception when insufficient_privilege then
  return false;
end
$$;

select public.darkroom_close_functions();

-- Applied again, it leaves the bucket that was chosen since.
select public.darkroom_share_pictures('attachments')
where not exists (select from pg_catalog.pg_policies where policyname = 'darkroom_read_own_pictures');

insert into public.quel_schema_versions (version) values ('20261127172000') on conflict do nothing;

notify pgrst, 'reload schema';
