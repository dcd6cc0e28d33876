-- Settlements, of one image and of several (spec §4): what makes an image count and charges for it.

-- Charge for images that wait to be settled and have room in their stage, and make them count, in this order: all of them
-- or none; gives the reason when whoever pays may not, or has too little. The caller holds the job's row.
-- Who watches goes by the order of delivered_at: it never goes back, even where the clock does.
create or replace function public.darkroom_deliver(
  p_job_id uuid, p_stage_index integer, p_ordinals integer[], p_attach_ids bigint[], p_run_id text, p_user uuid,
  p_price integer, p_production_id uuid
) returns text
language plpgsql
set search_path = '' set plan_cache_mode = 'force_generic_plan' set jit = 'off' set enable_seqscan = 'off' as $$
declare
  v_refusal text;
  v_first timestamptz;
begin
  if p_user is not null or exists (select from public.quel_credit_holds where job_id = p_job_id) then
    v_refusal := public.darkroom_charge_all(
      p_job_id, p_user, p_price, p_production_id, p_attach_ids,
      array(
        select format('%s/%s/%s', p_job_id, p_stage_index, ordinal)
        from unnest(p_ordinals) with ordinality as delivered (ordinal, place) order by place));
    if v_refusal is not null then
      return v_refusal;
    end if;
  end if;
  select greatest(clock_timestamp(), max(delivered_at) + interval '1 us') into v_first from public.quel_attach
  where job_id = p_job_id and delivered_at is not null;
  update public.quel_attach set delivered_run = p_run_id,
    delivered_at = v_first + (array_position(p_attach_ids, attach_id::bigint) - 1) * interval '1 us'
  where attach_id = any (p_attach_ids);
  update public.quel_job_stages set delivered_images = delivered_images + cardinality(p_attach_ids)
  where job_id = p_job_id and stage_index = p_stage_index;
  return null;
end
$$;

-- Settle one image, once. The caller holds the job's row, and says why its run may settle nothing. One that counts from
-- now on has `row_trails`: the job's row does not show it yet.
create or replace function public.darkroom_settle_image(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_refusal text, p_user uuid,
  p_price integer, p_production_id uuid
) returns jsonb
language plpgsql
set search_path = '' set jit = 'off' set enable_seqscan = 'off' as $$
declare
  v_image record;
  v_stage record;
  v_refusal text := p_refusal;
begin
  select attach_id, delivered_at into v_image from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
  if v_image.delivered_at is not null then
    return jsonb_build_object('settlement', 'settled', 'attach_id', v_image.attach_id);
  end if;
  if v_refusal is null and v_image.attach_id is null then
    v_refusal := format('image %s/%s/%s has no attachment', p_job_id, p_stage_index, p_ordinal);
  end if;
  if v_refusal is not null then
    return jsonb_build_object('settlement', 'run_refused', 'reason', v_refusal);
  end if;
  select target, delivered_images, unit_price into v_stage from public.quel_job_stages
  where job_id = p_job_id and stage_index = p_stage_index;
  -- The target, not the quantity: a stage's part of max_credits is never taken by another stage.
  if not found or v_stage.delivered_images >= v_stage.target then
    return jsonb_build_object(
      'settlement', 'stage_full', 'reason', 'the stage has all it may deliver already');
  end if;
  v_refusal := public.darkroom_deliver(
    p_job_id, p_stage_index, array[p_ordinal], array[v_image.attach_id::bigint], p_run_id, p_user,
    coalesce(v_stage.unit_price, p_price), p_production_id);
  if v_refusal is not null then
    return jsonb_build_object('settlement', 'insufficient', 'reason', v_refusal);
  end if;
  return jsonb_build_object('settlement', 'settled', 'attach_id', v_image.attach_id, 'row_trails', true);
end
$$;

-- Settle several images of a stage at once where nothing stands in the way of any; null, and nothing done, where one has
-- to be looked at by itself. The caller holds the job's row, whose run may settle.
create or replace function public.darkroom_settle_at_once(
  p_job_id uuid, p_stage_index integer, p_ordinals integer[], p_run_id text, p_user uuid, p_price integer,
  p_production_id uuid
) returns jsonb[]
language plpgsql
set search_path = '' set plan_cache_mode = 'force_generic_plan' set jit = 'off' set enable_seqscan = 'off' as $$
declare
  v_stage record;
  v_attach_ids bigint[];
  v_refusal text;
begin
  select target, delivered_images, unit_price into v_stage from public.quel_job_stages
  where job_id = p_job_id and stage_index = p_stage_index;
  if not found or v_stage.delivered_images + cardinality(p_ordinals) > v_stage.target then
    return null;
  end if;
  -- Of an ordinal that is named twice there is one picture: then these are fewer.
  select array_agg(attach_id order by array_position(p_ordinals, ordinal)) into v_attach_ids from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = any (p_ordinals) and delivered_at is null;
  if cardinality(v_attach_ids) is distinct from cardinality(p_ordinals) then
    return null;
  end if;
  v_refusal := public.darkroom_deliver(
    p_job_id, p_stage_index, p_ordinals, v_attach_ids, p_run_id, p_user, coalesce(v_stage.unit_price, p_price),
    p_production_id);
  if v_refusal is not null then
    return null;
  end if;
  return array(
    select jsonb_build_object('settlement', 'settled', 'attach_id', attach_id, 'row_trails', true)
    from unnest(v_attach_ids) with ordinality as settled (attach_id, place) order by place);
end
$$;

-- Bring the job's row up to date after settlements, unless that was done less than a second ago: it may trail by one
-- (spec §2). Gives whether it trails. A clock that was set back counts as due.
create or replace function public.darkroom_row_trails(p_job_id uuid, p_refreshed_at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_age interval := clock_timestamp() - p_refreshed_at;
begin
  if v_age >= interval '0' and v_age < interval '1 second' then
    return true;
  end if;
  perform public.darkroom_refresh_row(p_job_id);
  return false;
end
$$;

-- The calls made for an image: what they left in staging may go once it is settled.
create or replace function public.darkroom_calls_of(p_job_id uuid, p_stage_index integer, p_ordinal integer)
returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(call_id), '[]') from public.quel_generation_attempts
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal
$$;

-- Settle one image.
create or replace function public.darkroom_settle(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_calls boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_settled jsonb;
begin
  -- Settlements of one job come one after another: two with one key, or the last one of a stage twice, meet here.
  select job_status::text, current_run_id, quel_member_id, production_id, unit_price, refreshed_at into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  v_settled := public.darkroom_settle_image(
    p_job_id, p_stage_index, p_ordinal, p_run_id,
    public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id),
    v_job.quel_member_id, v_job.unit_price, v_job.production_id);
  if v_settled ? 'row_trails' then
    v_settled := v_settled
      || jsonb_build_object('row_trails', public.darkroom_row_trails(p_job_id, v_job.refreshed_at));
  end if;
  if p_calls and v_settled->>'settlement' = 'settled' then
    v_settled := v_settled
      || jsonb_build_object('call_ids', public.darkroom_calls_of(p_job_id, p_stage_index, p_ordinal));
  end if;
  return v_settled;
end
$$;

-- Settle several images of a stage, in this order, and bring the job's row up to date at most once: all at once where
-- that can be, else one after another. An error of one image is its own: it changes nothing, and the others are settled.
-- What passes fails the call.
create or replace function public.darkroom_settle_group(
  p_job_id uuid, p_stage_index integer, p_run_id text, p_ordinals integer[]
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_refusal text;
  v_ordinal integer;
  v_settled jsonb;
  v_results jsonb[];
  v_new boolean := true;
  v_trails jsonb := '{}';
begin
  select job_status::text, current_run_id, quel_member_id, production_id, unit_price, refreshed_at into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  if v_refusal is null and cardinality(p_ordinals) > 1 then
    begin
      set constraints all deferred;
      v_results := public.darkroom_settle_at_once(
        p_job_id, p_stage_index, p_ordinals, p_run_id, v_job.quel_member_id, v_job.unit_price, v_job.production_id);
      set constraints all immediate;  -- what is checked at the end of a transaction would fail all of them
    exception when others or assert_failure then
      if public.darkroom_passes(sqlstate) then
        raise;
      end if;
      v_results := null;  -- one of them is to blame, and the others are none the worse
    end;
  end if;
  if v_results is null then
    v_results := '{}';
    v_new := false;
    foreach v_ordinal in array p_ordinals loop
      begin
        set constraints all deferred;
        v_settled := public.darkroom_settle_image(
          p_job_id, p_stage_index, v_ordinal, p_run_id, v_refusal,
          v_job.quel_member_id, v_job.unit_price, v_job.production_id);
        v_new := v_new or v_settled ? 'row_trails';
        set constraints all immediate;
      exception when others or assert_failure then
        if public.darkroom_passes(sqlstate) then
          raise;
        end if;
        v_settled := jsonb_build_object('settlement', 'refused', 'code', sqlstate, 'message', sqlerrm);
      end;
      v_results := array_append(v_results, v_settled);
    end loop;
  end if;
  if v_new and not public.darkroom_row_trails(p_job_id, v_job.refreshed_at) then
    v_trails := '{"row_trails": false}';
  end if;
  return (
    select coalesce(jsonb_agg(
      settled.result || case when settled.result ? 'row_trails' then v_trails else '{}' end
        || case when settled.result->>'settlement' = 'settled' then jsonb_build_object('call_ids', (
          select coalesce(jsonb_agg(call_id), '[]') from public.quel_generation_attempts
          where job_id = p_job_id and stage_index = p_stage_index
            and ordinal = p_ordinals[settled.place::integer])) else '{}' end
      order by settled.place), '[]')
    from unnest(v_results) with ordinality as settled (result, place));
end
$$;
