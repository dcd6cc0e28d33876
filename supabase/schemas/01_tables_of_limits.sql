-- What the API's processes count together. A crash of the database may empty these tables: then a minute's counts are lost.

create unlogged table public.quel_api_windows (
  key text not null,
  number bigint not null,
  count integer not null,
  ends_at timestamptz not null,
  primary key (key, number)
);
create index quel_api_windows_ended on public.quel_api_windows (ends_at);
create unlogged table public.quel_api_leases (
  lease_id text primary key,
  kind text not null,
  holder text not null,
  ends_at timestamptz not null
);
create index quel_api_leases_held on public.quel_api_leases (kind, holder);
create index quel_api_leases_ended on public.quel_api_leases (ends_at);
