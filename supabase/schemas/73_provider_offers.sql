-- Which providers there are, as workers say it.

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
