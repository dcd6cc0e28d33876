-- Limits of the API that hold over all of its processes: rates and leases, in tables that need not survive a crash of
-- the database.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- With their rights in one statement, so that they are open to nobody in between.
do $$
begin
  if to_regclass('public.quel_api_windows') is null then
    create unlogged table if not exists public.quel_api_windows (
      key text not null,
      number bigint not null,
      count integer not null,
      ends_at timestamptz not null,
      primary key (key, number)
    );
    create index quel_api_windows_ended on public.quel_api_windows (ends_at);
    create unlogged table if not exists public.quel_api_leases (
      lease_id text primary key,
      kind text not null,
      holder text not null,
      ends_at timestamptz not null
    );
    create index quel_api_leases_held on public.quel_api_leases (kind, holder);
    create index quel_api_leases_ended on public.quel_api_leases (ends_at);
    alter table public.quel_api_windows enable row level security;
    alter table public.quel_api_leases enable row level security;
    revoke all on public.quel_api_windows, public.quel_api_leases from public, anon, authenticated;
    grant all on public.quel_api_windows, public.quel_api_leases to service_role;
  end if;
end
$$;

create index if not exists quel_attach_uploaded on public.quel_attach (quel_member_id, attach_file_size)
  where job_id is null;

-- How often a key was counted in the window before this one and in this one, and the seconds that are left of it.
create or replace function public.darkroom_window(p_key text, p_seconds integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_now double precision := extract(epoch from clock_timestamp());
  v_number bigint := floor(v_now / p_seconds);
begin
  return jsonb_build_object(
    'previous', coalesce((
      select counted.count from public.quel_api_windows as counted
      where counted.key = p_key and counted.number = v_number - 1), 0),
    'current', coalesce((
      select counted.count from public.quel_api_windows as counted
      where counted.key = p_key and counted.number = v_number), 0),
    'left', (v_number + 1) * p_seconds - v_now);
end
$$;

-- Count, unless the sliding window is full: the part of the window before that it still covers, and this one.
create or replace function public.darkroom_count_in_window(
  p_key text, p_most integer, p_seconds integer, p_amount integer
) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_window jsonb;
  v_number bigint;
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('window ' || p_key, 0));
  v_window := public.darkroom_window(p_key, p_seconds);
  if floor((v_window->>'previous')::integer * (v_window->>'left')::double precision / p_seconds
    + (v_window->>'current')::integer) + p_amount > p_most
  then
    return false;
  end if;
  delete from public.quel_api_windows where ctid = any (array (
    select old.ctid from public.quel_api_windows as old
    where old.ends_at <= clock_timestamp() limit 100 for update skip locked));
  v_number := floor(extract(epoch from clock_timestamp()) / p_seconds);
  insert into public.quel_api_windows as counted (key, number, count, ends_at)
  values (p_key, v_number, p_amount, to_timestamp((v_number + 2) * p_seconds))
  on conflict (key, number) do update set count = counted.count + excluded.count;
  return true;
end
$$;

-- Forget a key, or all; answers how many windows there were.
create or replace function public.darkroom_clear_windows(p_key text) returns bigint
language sql security definer set search_path = '' as $$
  with cleared as (
    delete from public.quel_api_windows as counted where p_key is null or counted.key = p_key returning 1
  )
  select count(*) from cleared
$$;

-- Take a lease, unless the holder has so many of the kind. Those of processes that died end by themselves.
create or replace function public.darkroom_take_lease(
  p_lease_id text, p_kind text, p_holder text, p_most integer, p_seconds double precision
) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('lease ' || p_kind || ' ' || p_holder, 0));
  delete from public.quel_api_leases where ctid = any (array (
    select old.ctid from public.quel_api_leases as old
    where old.ends_at <= clock_timestamp() limit 100 for update skip locked));
  if (
    select count(*) from public.quel_api_leases as held
    where held.kind = p_kind and held.holder = p_holder and held.ends_at > clock_timestamp()
      and held.lease_id <> p_lease_id
  ) >= p_most
  then
    return false;
  end if;
  perform public.darkroom_renew_lease(p_lease_id, p_kind, p_holder, p_seconds);
  return true;
end
$$;

-- Keep a lease, also one that ended while its process stood still.
create or replace function public.darkroom_renew_lease(
  p_lease_id text, p_kind text, p_holder text, p_seconds double precision
) returns void
language sql security definer set search_path = '' as $$
  insert into public.quel_api_leases (lease_id, kind, holder, ends_at)
  values (p_lease_id, p_kind, p_holder, clock_timestamp() + make_interval(secs => p_seconds))
  on conflict (lease_id) do update set ends_at = excluded.ends_at
$$;

-- Give a lease back.
create or replace function public.darkroom_release_lease(p_lease_id text) returns void
language sql security definer set search_path = '' as $$
  delete from public.quel_api_leases where lease_id = p_lease_id
$$;

-- What a user has of what the API limits: jobs that have not ended, and bytes of uploads.
create or replace function public.darkroom_usage(p_user_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'open_jobs', (
      select count(*) from public.quel_production_jobs
      where quel_member_id = p_user_id and job_status::text in ('pending', 'processing')),
    'stored_bytes', (
      select coalesce(sum(attach_file_size), 0) from public.quel_attach
      where quel_member_id = p_user_id and job_id is null))
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127191300') on conflict do nothing;

notify pgrst, 'reload schema';
