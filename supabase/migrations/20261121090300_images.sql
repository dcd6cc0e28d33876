-- One image's way through the records: attempt, attachment, settlement (spec §§3, 4).
-- Locks are taken in one order: job, member, hold, stage, and leave the keys free (`no key update`): tables of before
-- may have foreign keys, and two checks that share a key while each waits for all of the row are a deadlock.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

-- The ordinals to make next: every one up to the highest ever attempted that is not decided, then new ones.
create or replace function public.darkroom_next_ordinals(
  p_job_id uuid, p_stage_index integer, p_limit integer
) returns jsonb
language sql stable security definer set search_path = '' as $$
  with decided as (
    select ordinal from public.quel_generation_attempts
    where job_id = p_job_id and stage_index = p_stage_index and outcome in ('missed', 'refused')
    union
    select ordinal from public.quel_attach
    where job_id = p_job_id and stage_index = p_stage_index and delivered_at is not null
  ), highest as (
    select coalesce(max(ordinal), -1) as ordinal from public.quel_generation_attempts
    where job_id = p_job_id and stage_index = p_stage_index
  )
  select coalesce(jsonb_agg(next.ordinal order by next.ordinal), '[]')
  from (
    select candidate as ordinal
    from highest, generate_series(0, highest.ordinal + greatest(p_limit, 0)) as candidate
    where candidate > highest.ordinal or candidate not in (select ordinal from decided)
    order by candidate limit greatest(p_limit, 0)
  ) as next
$$;

-- Answer what is delivered or decided, refuse, say where to look, or write the attempt's row before the call.
create or replace function public.darkroom_begin_attempt(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_round integer, p_provider text, p_attempt integer, p_looked boolean
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_attach_id integer;
  v_job record;
  v_refusal text;
  v_decided record;
  v_waiting uuid;
begin
  select attach_id into v_attach_id from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and delivered_at is not null;
  if found then
    return jsonb_build_object('begin', 'delivered', 'attach_id', v_attach_id);
  end if;
  -- Shared with other attempts, not with whoever writes a pause or a cancel: that one waits for us, or we see it.
  select job_status, current_run_id, cancel_requested, failing, paused into v_job
  from public.quel_production_jobs where job_id = p_job_id for share;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  if v_refusal is not null then
    return jsonb_build_object('begin', 'held', 'reason', v_refusal, 'final', true);
  end if;
  if v_job.cancel_requested or v_job.failing or v_job.paused then
    return jsonb_build_object('begin', 'held', 'reason', 'the job is ' || case
      when v_job.cancel_requested then 'being cancelled'
      when v_job.failing then 'about to fail'
      else 'paused' end);
  end if;
  select outcome, reason, final into v_decided from public.quel_generation_attempts
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal
    and outcome in ('missed', 'refused')
  order by attempt_id desc limit 1;
  if found then
    return jsonb_build_object(
      'begin', 'decided', 'outcome', v_decided.outcome, 'reason', v_decided.reason, 'final', v_decided.final);
  end if;
  if not p_looked then
    select call_id into v_waiting from public.quel_generation_attempts
    where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal
      and (outcome is null or outcome = 'generated')
    order by attempt_id desc limit 1;
    if found then
      return jsonb_build_object('begin', 'look', 'call_id', v_waiting);
    end if;
  end if;
  insert into public.quel_generation_attempts (
    call_id, job_id, stage_index, ordinal, run_id, round, provider, attempt, started_at)
  values (
    p_call_id, p_job_id, p_stage_index, p_ordinal, p_run_id, p_round, p_provider, p_attempt, clock_timestamp())
  on conflict (call_id) do nothing;
  return jsonb_build_object('begin', 'begun', 'call_id', p_call_id);
end
$$;

-- Calls without an outcome, or generated and not settled: the newest of each ordinal above p_after.
create or replace function public.darkroom_unsettled_attempts(
  p_job_id uuid, p_stage_index integer, p_after integer, p_limit integer
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_array(page.ordinal, page.call_id) order by page.ordinal), '[]')
  from (
    select distinct on (attempt.ordinal) attempt.ordinal, attempt.call_id
    from public.quel_generation_attempts as attempt
    where attempt.job_id = p_job_id and attempt.stage_index = p_stage_index and attempt.ordinal > p_after
      and (attempt.outcome is null or attempt.outcome = 'generated')
      and not exists (
        select 1 from public.quel_attach as image
        where image.job_id = attempt.job_id and image.stage_index = attempt.stage_index
          and image.ordinal = attempt.ordinal and image.delivered_at is not null)
    order by attempt.ordinal, attempt.attempt_id desc limit p_limit
  ) as page
$$;

-- Write how a call ended, once.
create or replace function public.darkroom_finish_attempt(
  p_call_id uuid, p_outcome text, p_reason text, p_final boolean, p_seconds double precision
) returns void
language sql security definer set search_path = '' as $$
  update public.quel_generation_attempts
  set outcome = p_outcome, reason = p_reason, final = p_final, seconds = p_seconds
  where call_id = p_call_id and outcome is null
$$;

-- Insert the attachment or find it; the attempt that made it is now 'generated'.
create or replace function public.darkroom_attach(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_call_id uuid,
  p_seconds double precision, p_path text, p_size integer, p_sha256 text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_refusal text;
  v_attach_id integer;
  v_name text := regexp_replace(p_path, '^.*/', '');
begin
  select job_status, current_run_id, quel_member_id into v_job
  from public.quel_production_jobs where job_id = p_job_id for share;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  select attach_id into v_attach_id from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and delivered_at is not null;
  if not found then
    v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
    if v_refusal is not null then
      return jsonb_build_object('attach_id', null, 'reason', v_refusal);
    end if;
    insert into public.quel_attach as image (
      attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type,
      attach_directory, attach_storage_type, job_id, stage_index, ordinal, quel_member_id, sha256, created_at)
    values (
      v_name, v_name, p_path, p_size, 'image/webp', left(p_path, greatest(0, length(p_path) - length(v_name) - 1)),
      'supabase', p_job_id, p_stage_index, p_ordinal, v_job.quel_member_id, p_sha256, clock_timestamp())
    on conflict (job_id, stage_index, ordinal) where job_id is not null do update
      set attach_file_size = case when image.delivered_at is null
          then excluded.attach_file_size else image.attach_file_size end,
        sha256 = case when image.delivered_at is null then excluded.sha256 else image.sha256 end
    returning image.attach_id into v_attach_id;
  end if;
  update public.quel_generation_attempts
  set outcome = 'generated', seconds = coalesce(p_seconds, seconds)
  where call_id = p_call_id and outcome is null;
  return jsonb_build_object('attach_id', v_attach_id);
end
$$;

-- Take the price from balance and hold; gives the reason when they do not cover it.
create or replace function public.darkroom_charge(
  p_job_id uuid, p_user uuid, p_price integer, p_production_id uuid, p_attach_id integer, p_key text
) returns text
language plpgsql set search_path = '' as $$
declare
  v_balance integer;
  v_held integer;
begin
  select quel_member_credit into v_balance from public.quel_member where quel_member_id = p_user for no key update;
  if coalesce(v_balance, 0) < p_price then
    return format('insufficient credits: need %s, balance %s', p_price, coalesce(v_balance, 0));
  end if;
  select amount into v_held from public.quel_credit_holds
  where job_id = p_job_id and released_at is null for no key update;
  if coalesce(v_held, -1) < p_price then
    return format('insufficient credits: need %s, the job''s hold has %s left', p_price, coalesce(v_held, 0));
  end if;
  insert into public.quel_credits (
    quel_member_id, transaction_type, amount, balance_after, attach_idx, production_idx, job_id,
    idempotency_key, created_at)
  values (
    p_user, 'DEDUCT', -p_price, v_balance - p_price, p_attach_id, p_production_id, p_job_id, p_key,
    clock_timestamp());
  update public.quel_member set quel_member_credit = v_balance - p_price where quel_member_id = p_user;
  update public.quel_credit_holds set amount = amount - p_price where job_id = p_job_id;
  return null;
end
$$;

-- Make an image count and charge for it: all of it or nothing, and once.
create or replace function public.darkroom_settle(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_image record;
  v_refusal text;
  v_stage record;
  v_age interval;
begin
  -- Settlements of one job come one after another: two with one key, or the last one of a stage twice, meet here.
  select job_status, current_run_id, quel_member_id, production_id, unit_price, refreshed_at into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  select attach_id, delivered_at into v_image from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
  if v_image.delivered_at is not null then
    return jsonb_build_object('settlement', 'settled', 'attach_id', v_image.attach_id);
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  if v_refusal is null and v_image.attach_id is null then
    v_refusal := format('image %s/%s/%s has no attachment', p_job_id, p_stage_index, p_ordinal);
  end if;
  if v_refusal is not null then
    return jsonb_build_object('settlement', 'run_refused', 'reason', v_refusal);
  end if;
  select target, delivered_images into v_stage from public.quel_job_stages
  where job_id = p_job_id and stage_index = p_stage_index;
  -- The target, not the quantity: a stage's part of max_credits is never taken by another stage.
  if not found or v_stage.delivered_images >= v_stage.target then
    return jsonb_build_object(
      'settlement', 'stage_full', 'reason', 'the stage has all it may deliver already');
  end if;
  if v_job.quel_member_id is not null then
    v_refusal := public.darkroom_charge(
      p_job_id, v_job.quel_member_id, v_job.unit_price, v_job.production_id, v_image.attach_id,
      format('%s/%s/%s', p_job_id, p_stage_index, p_ordinal));
    if v_refusal is not null then
      return jsonb_build_object('settlement', 'insufficient', 'reason', v_refusal);
    end if;
  end if;
  update public.quel_attach set delivered_at = clock_timestamp(), delivered_run = p_run_id
  where attach_id = v_image.attach_id;
  update public.quel_job_stages set delivered_images = delivered_images + 1
  where job_id = p_job_id and stage_index = p_stage_index;
  -- The row may trail by one second (spec §2); a clock that was set back counts as due.
  v_age := clock_timestamp() - v_job.refreshed_at;
  if v_age < interval '0' or v_age >= interval '1 second' then
    perform public.darkroom_refresh_row(p_job_id);
    v_age := null;
  end if;
  return jsonb_build_object(
    'settlement', 'settled', 'attach_id', v_image.attach_id, 'row_trails', v_age is not null);
end
$$;

select public.darkroom_close_functions();
insert into public.quel_schema_versions (version) values ('20261121090300') on conflict do nothing;
