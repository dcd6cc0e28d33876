-- Pictures that orders may draw after: uploads, and images that were delivered.

-- Who owns a picture; null where nobody is known.
create or replace function public.darkroom_owner(image public.quel_attach) returns uuid
language sql stable set search_path = '' as $$
  select coalesce(image.quel_member_id, (
    select earlier.quel_member_id from public.quel_earlier_pictures as earlier
    where earlier.attach_id = image.attach_id))
$$;

-- Those that exist and can be shown (uploads, and images that were delivered), with their owners.
create or replace function public.darkroom_reference_owners(p_attach_ids bigint[]) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'attach_id', attach_id, 'user_id', public.darkroom_owner(image), 'name', attach_original_name)), '[]')
  from public.quel_attach as image
  where attach_id = any (p_attach_ids) and (job_id is null or (delivered_at is not null and deleted_at is null))
$$;

-- Whose a production is; null without such a production.
create or replace function public.darkroom_production_owner(p_production_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object('user_id', quel_member_id)
  from public.quel_production_photo where production_id = p_production_id
$$;

-- Where a picture is kept. Rows of before Darkroom may have it in the directory alone.
create or replace function public.darkroom_path(image public.quel_attach) returns text
language sql immutable set search_path = '' as $$
  select coalesce(nullif(image.attach_file_path, ''), nullif(image.attach_directory, ''))
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

-- Record an uploaded picture, or find the row of the same picture of the same user.
create or replace function public.darkroom_add_reference(p_reference jsonb) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  v_path text := p_reference->>'path';
  v_name text := regexp_replace(v_path, '^.*/', '');
  v_user uuid := (p_reference->>'user_id')::uuid;
  v_attach_id bigint;
begin
  -- Two uploads of one picture at once take turns: no constraint of old rows could hold them apart.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(v_path, 0));
  select attach_id into v_attach_id from public.quel_attach
  where sha256 = p_reference->>'sha256' and job_id is null and attach_file_path = v_path
    and quel_member_id is not distinct from v_user
  limit 1;
  if not found then
    insert into public.quel_attach (
      attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type,
      attach_directory, attach_storage_type, quel_member_id, sha256, created_at)
    values (
      p_reference->>'original_name', v_name, v_path, (p_reference->>'size')::integer,
      p_reference->>'media_type', left(v_path, greatest(0, length(v_path) - length(v_name) - 1)), 'supabase',
      v_user, p_reference->>'sha256', clock_timestamp())
    returning attach_id into v_attach_id;
  end if;
  return v_attach_id;
end
$$;
