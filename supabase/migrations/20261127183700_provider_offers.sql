-- Which providers there are is learned from the workers, by processes that have no keys of providers.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- With its rights in one statement, so that it is open to nobody in between.
do $$
begin
  if to_regclass('public.quel_provider_offers') is null then
    create table if not exists public.quel_provider_offers (
      offer_hash text primary key,
      offer jsonb not null,
      expires_at timestamptz not null
    );
    alter table public.quel_provider_offers enable row level security;
    revoke all on public.quel_provider_offers from public, anon, authenticated;
    grant all on public.quel_provider_offers to service_role;
  end if;
end
$$;

-- Say what a worker can call, and forget what no longer holds.
create or replace function public.darkroom_offer_providers(
  p_offer_hash text, p_offer jsonb, p_seconds double precision
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.quel_provider_offers where offer_hash in (
    select offer_hash from public.quel_provider_offers where expires_at <= clock_timestamp() for update skip locked);
  insert into public.quel_provider_offers as kept (offer_hash, offer, expires_at)
  values (p_offer_hash, p_offer, clock_timestamp() + make_interval(secs => p_seconds))
  on conflict (offer_hash) do update set expires_at = greatest(kept.expires_at, excluded.expires_at);
end
$$;

-- The offers that hold now, the one that holds longest first.
create or replace function public.darkroom_offered_providers() returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(offer order by expires_at desc, offer_hash), '[]')
  from public.quel_provider_offers where expires_at > clock_timestamp()
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127183700') on conflict do nothing;

notify pgrst, 'reload schema';
