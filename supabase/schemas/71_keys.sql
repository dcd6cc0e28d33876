-- Keys to the HTTP API.

-- A key without its hash, which never leaves the database.
create or replace function public.darkroom_api_key_json(key public.quel_api_keys) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'key_id', key.key_id, 'user_id', key.quel_member_id, 'name', key.name, 'operator', key.operator,
    'created_at', key.created_at, 'revoked_at', key.revoked_at)
$$;

-- Keep a key; one that is there stays as it is.
create or replace function public.darkroom_add_api_key(
  p_key_id uuid, p_user_id uuid, p_name text, p_operator boolean, p_key_hash text
) returns void
language sql security definer set search_path = '' as $$
  insert into public.quel_api_keys (key_id, quel_member_id, name, operator, key_hash, created_at)
  values (p_key_id, p_user_id, p_name, p_operator, p_key_hash, clock_timestamp())
  on conflict (key_id) do nothing
$$;

-- The key with this hash, unless it was revoked.
create or replace function public.darkroom_api_key(p_key_hash text) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.darkroom_api_key_json(key) from public.quel_api_keys as key
  where key.key_hash = p_key_hash and key.revoked_at is null
$$;

-- All keys, newest first, the revoked ones too.
create or replace function public.darkroom_api_keys() returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(public.darkroom_api_key_json(key) order by key.created_at desc, key.key_id), '[]')
  from public.quel_api_keys as key
$$;

-- Answers whether there is such a key. The first time is the one that is kept.
create or replace function public.darkroom_revoke_api_key(p_key_id uuid) returns boolean
language sql security definer set search_path = '' as $$
  with revoked as (
    update public.quel_api_keys set revoked_at = coalesce(revoked_at, clock_timestamp())
    where key_id = p_key_id returning 1
  )
  select exists (select from revoked)
$$;
