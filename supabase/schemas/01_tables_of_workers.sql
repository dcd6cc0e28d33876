-- Tables that belong to no job.

-- What workers can call, for processes that have no keys; workers of the same settings share a row.
create table public.quel_provider_offers (
  offer_hash text primary key,
  offer jsonb not null,
  expires_at timestamptz not null
);
