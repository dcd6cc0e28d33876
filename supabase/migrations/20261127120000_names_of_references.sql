-- Who orders again sees the references under the names of their files.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

-- Those that exist and can be shown (uploads, and images that were delivered), with their owners.
create or replace function public.darkroom_reference_owners(p_attach_ids bigint[]) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'attach_id', attach_id, 'user_id', quel_member_id, 'name', attach_original_name)), '[]')
  from public.quel_attach
  where attach_id = any (p_attach_ids) and (job_id is null or delivered_at is not null)
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127120000') on conflict do nothing;

notify pgrst, 'reload schema';
