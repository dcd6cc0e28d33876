-- Sessions of browsers, so that a cookie is no key, has an end, and can be revoked.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- With its rights in one statement, so that it is open to nobody in between.
do $$
begin
  if to_regclass('public.quel_api_sessions') is null then
    create table if not exists public.quel_api_sessions (
      session_hash text primary key,
      quel_member_id uuid not null,
      key_id uuid references public.quel_api_keys (key_id) on delete cascade,
      created_at timestamptz not null,
      expires_at timestamptz not null
    );
    create index quel_api_sessions_member on public.quel_api_sessions (quel_member_id, created_at);
    create index quel_api_sessions_expiry on public.quel_api_sessions (expires_at);
    create index quel_api_sessions_key on public.quel_api_sessions (key_id);
    alter table public.quel_api_sessions enable row level security;
    revoke all on public.quel_api_sessions from public, anon, authenticated;
    grant all on public.quel_api_sessions to service_role;
  end if;
end
$$;

-- Keep a session; one that is there stays as it is. Those that have expired go, and the user's oldest above the number.
create or replace function public.darkroom_add_session(
  p_session_hash text, p_user_id uuid, p_key_id uuid, p_expires_at timestamptz, p_most integer
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.quel_api_sessions (session_hash, quel_member_id, key_id, created_at, expires_at)
  values (p_session_hash, p_user_id, p_key_id, clock_timestamp(), p_expires_at)
  on conflict (session_hash) do nothing;
  delete from public.quel_api_sessions where session_hash in (
    select session.session_hash from public.quel_api_sessions as session
    where session.expires_at <= clock_timestamp() for update skip locked);
  delete from public.quel_api_sessions where session_hash in (
    select session.session_hash from public.quel_api_sessions as session
    where session.quel_member_id = p_user_id
    order by session.created_at desc, session.session_hash offset p_most);
end
$$;

-- The session with this hash: it has not expired, and the key that opened it, if one did, is not revoked. Keys are never
-- deleted alone: their sessions go with them.
create or replace function public.darkroom_session(p_session_hash text) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'user_id', session.quel_member_id, 'operator', coalesce(key.operator, false), 'key_id', session.key_id,
    'expires_at', session.expires_at)
  from public.quel_api_sessions as session
  left join public.quel_api_keys as key on key.key_id = session.key_id
  where session.session_hash = p_session_hash and session.expires_at > clock_timestamp()
    and key.revoked_at is null
$$;

create or replace function public.darkroom_end_session(p_session_hash text) returns void
language sql security definer set search_path = '' as $$
  delete from public.quel_api_sessions where session_hash = p_session_hash
$$;

-- Those of these hashes, of keys and of sessions, that still open something.
create or replace function public.darkroom_valid_sign_ins(p_hashes text[]) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(valid.hash), '[]') from (
    select key.key_hash as hash from public.quel_api_keys as key
    where key.revoked_at is null and key.key_hash = any (p_hashes)
    union all
    select session.session_hash from public.quel_api_sessions as session
    left join public.quel_api_keys as key on key.key_id = session.key_id
    where session.session_hash = any (p_hashes) and session.expires_at > clock_timestamp()
      and key.revoked_at is null
  ) as valid
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127184000') on conflict do nothing;

notify pgrst, 'reload schema';
