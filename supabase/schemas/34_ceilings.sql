-- Daily ceilings, asked in the transaction that writes a call's row (spec §4).

-- Which daily ceiling allows no further call, and until when; null where one may begin. Calls of today (UTC) count at what
-- they cost, and at a price by setting while nobody knows that; a user's pictures that were begun and may be delivered
-- count at their price, each once. Calls in progress may turn out to count for less: then it is asked again soon.
-- Planned for each call: how many calls a provider or a user has of a day differs too much for one plan.
create or replace function public.darkroom_reached_ceiling(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_provider text, p_user uuid, p_credits integer,
  p_ceilings jsonb
) returns jsonb
language plpgsql
set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_now timestamptz;
  v_began timestamptz;
  v_reached text;
  v_call numeric := p_ceilings->>'call_usd';
  v_usd numeric := p_ceilings->>'provider_usd';
  v_credits numeric := p_ceilings->>'user_credits';
  v_all numeric;
  v_ended numeric;
  v_may_free boolean;
begin
  -- One call after another, until the row of the one before is there for all: what follows sees it.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom ceilings', 0));
  v_now := clock_timestamp();
  v_began := date_trunc('day', v_now at time zone 'utc') at time zone 'utc';
  if v_usd is not null then
    select coalesce(sum(coalesce(cost_usd, v_call)), 0),
      coalesce(sum(coalesce(cost_usd, v_call)) filter (where outcome is not null), 0) into v_all, v_ended
    from public.quel_generation_attempts where provider = p_provider and started_at >= v_began;
    if v_all + v_call > v_usd then
      v_reached := 'provider';
      v_may_free := v_ended + v_call <= v_usd;
    end if;
  end if;
  if v_reached is null and v_credits is not null and p_user is not null and p_credits > 0 then
    select coalesce(sum(credits), 0), coalesce(sum(credits) filter (where ended), 0) into v_all, v_ended
    from (
      select max(credits) as credits, bool_or(outcome is not null) as ended from public.quel_generation_attempts
      where quel_member_id = p_user and started_at >= v_began and (outcome is null or outcome = 'generated')
        and (job_id, stage_index, ordinal) <> (p_job_id, p_stage_index, p_ordinal)
      group by job_id, stage_index, ordinal
    ) as picture;
    if v_all + p_credits > v_credits then
      v_reached := 'user';
      v_may_free := v_ended + p_credits <= v_credits;
    end if;
  end if;
  if v_reached is null then
    return null;
  end if;
  return jsonb_build_object('begin', 'spent', 'spent', jsonb_build_object(
    'ceiling', v_reached, 'may_free', v_may_free,
    'until', case when v_may_free then v_now + interval '1 minute' else v_began + interval '1 day' end));
end
$$;
