-- The size and format of the pictures of a stage, and their price where it is not the job's; null in jobs of before
-- there was a choice.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

alter table public.quel_job_stages
  add column if not exists format text,
  add column if not exists image_size text,
  add column if not exists unit_price integer;

-- The stages and terms of the first opening; they hold for every restart. So does who pays: the hold says it.
create or replace function public.darkroom_store_order(p_job_id uuid, p_order jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.quel_job_stages (
    job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images,
    format, image_size, unit_price)
  select p_job_id, stage.stage_index, stage.label, stage.prompt, stage.quantity, stage.target,
    stage.aspect_ratio, stage."references", stage.format, stage.image_size, stage.unit_price
  from jsonb_to_recordset(p_order->'stages') as stage (
    stage_index integer, label text, prompt text, quantity integer, target integer, aspect_ratio text,
    "references" jsonb, format text, image_size text, unit_price integer);
  update public.quel_production_jobs
  set job_type = coalesce(job_type, p_order->>'job_type'),
    order_type = nullif(p_order->>'job_type', coalesce(job_type, p_order->>'job_type')),
    quel_member_id = (p_order->>'user_id')::uuid, org_id = coalesce((p_order->>'org_id')::uuid, org_id),
    production_id = coalesce((p_order->>'production_id')::uuid, production_id),
    total_images = (p_order->>'total_images')::integer,
    unit_price = (p_order->>'unit_price')::integer, max_top_ups = (p_order->>'max_top_ups')::integer,
    max_credits = (p_order->>'max_credits')::integer, provider = p_order->>'provider',
    priority = (p_order->>'priority')::integer, book_id = (p_order->>'book_id')::uuid,
    webhook_url = p_order->>'webhook_url'
  where job_id = p_job_id;
  insert into public.quel_credit_holds (job_id, quel_member_id, org_id, amount)
  select job_id, quel_member_id, org_id, 0 from public.quel_production_jobs
  where job_id = p_job_id and quel_member_id is not null
  on conflict (job_id) do nothing;
end
$$;

-- One stored stage.
create or replace function public.darkroom_stage(p_job_id uuid, p_stage_index integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'stage_index', stage_index, 'label', label, 'prompt', prompt, 'quantity', quantity,
    'aspect_ratio', aspect_ratio, 'references', reference_images, 'format', format,
    'image_size', coalesce(image_size, '1K'))
  from public.quel_job_stages where job_id = p_job_id and stage_index = p_stage_index
$$;

-- All stored stages, in order.
create or replace function public.darkroom_stages(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'stage_index', stage_index, 'label', label, 'prompt', prompt, 'quantity', quantity,
    'aspect_ratio', aspect_ratio, 'references', reference_images, 'format', format,
    'image_size', coalesce(image_size, '1K')) order by stage_index), '[]')
  from public.quel_job_stages where job_id = p_job_id
$$;

-- Insert the attachment or find it; the attempt that made it is now 'generated'. The caller holds the job's row, and
-- says why its run may attach nothing.
create or replace function public.darkroom_attach_image(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_refusal text, p_user uuid, p_call_id uuid,
  p_seconds double precision, p_path text, p_size integer, p_sha256 text
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_attach_id bigint;
  v_name text := regexp_replace(p_path, '^.*/', '');
  v_source record;
begin
  select attach_id into v_attach_id from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and delivered_at is not null;
  if not found then
    if p_refusal is not null then
      return jsonb_build_object('attach_id', null, 'reason', p_refusal);
    end if;
    select source_sha256 as sha256, source_media_type as media_type, source_c2pa as c2pa, provider, model into v_source
    from public.quel_generation_attempts where call_id = p_call_id;
    insert into public.quel_attach as image (
      attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type,
      attach_directory, attach_storage_type, job_id, stage_index, ordinal, quel_member_id, sha256,
      source_sha256, source_media_type, source_c2pa, source_provider, source_model, created_at)
    values (
      v_name, v_name, p_path, p_size,
      case substring(v_name from '[^.]*$')
        when 'jpg' then 'image/jpeg' when 'png' then 'image/png' when 'avif' then 'image/avif' else 'image/webp' end,
      left(p_path, greatest(0, length(p_path) - length(v_name) - 1)),
      'supabase', p_job_id, p_stage_index, p_ordinal, p_user, p_sha256,
      v_source.sha256, v_source.media_type, v_source.c2pa, v_source.provider, v_source.model, clock_timestamp())
    on conflict (job_id, stage_index, ordinal) where job_id is not null do update
      set attach_original_name = excluded.attach_original_name, attach_file_name = excluded.attach_file_name,
        attach_file_path = excluded.attach_file_path, attach_directory = excluded.attach_directory,
        attach_file_size = excluded.attach_file_size, attach_file_type = excluded.attach_file_type,
        sha256 = excluded.sha256,
        source_sha256 = excluded.source_sha256, source_media_type = excluded.source_media_type,
        source_c2pa = excluded.source_c2pa, source_provider = excluded.source_provider,
        source_model = excluded.source_model
      where image.delivered_at is null
    returning image.attach_id into v_attach_id;
    if not found then  -- delivered meanwhile, by a call of somebody else
      select attach_id into v_attach_id from public.quel_attach
      where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
    end if;
  end if;
  update public.quel_generation_attempts
  set outcome = 'generated', seconds = coalesce(p_seconds, seconds)
  where call_id = p_call_id and outcome is null;
  return jsonb_build_object('attach_id', v_attach_id);
end
$$;

-- Set aside what the missing images cost; gives the reason when whoever pays may not, or has too little.
create or replace function public.darkroom_set_hold(p_job_id uuid) returns text
language plpgsql set search_path = '' as $$
declare
  v_user uuid;
  v_price integer;
  v_payer record;
  v_refusal text;
  v_balance bigint;
  v_others bigint;
  v_need bigint;
  v_covered boolean;
begin
  select quel_member_id, coalesce(unit_price, 0) into v_user, v_price
  from public.quel_production_jobs where job_id = p_job_id;
  select quel_member_id, org_id into v_payer from public.quel_credit_holds where job_id = p_job_id;
  v_user := coalesce(v_payer.quel_member_id, v_user);
  if v_user is null then
    return null;
  end if;
  -- The wallet's row is locked before the holds are added up: two jobs that open at once see each other.
  if v_payer.org_id is null then
    select coalesce(quel_member_credit, 0) into v_balance
    from public.quel_member where quel_member_id = v_user for no key update;
    if not found then
      v_refusal := format('user %s has no member row; `starter.py credits grant %s N` creates one', v_user, v_user);
    end if;
    select coalesce(sum(amount), 0) into v_others from public.quel_credit_holds
    where quel_member_id = v_user and org_id is null and released_at is null and job_id <> p_job_id;
  else
    select coalesce(org_credit, 0) into v_balance
    from public.quel_organization where org_id = v_payer.org_id for no key update;
    v_refusal := public.darkroom_cannot_pay(v_payer.org_id, v_user);
    select coalesce(sum(amount), 0) into v_others from public.quel_credit_holds
    where org_id = v_payer.org_id and released_at is null and job_id <> p_job_id;
  end if;
  select coalesce(sum(greatest(0, target - delivered_images)::bigint * coalesce(unit_price, v_price)), 0) into v_need
  from public.quel_job_stages where job_id = p_job_id;
  v_covered := v_refusal is null and v_need <= v_balance - v_others;
  insert into public.quel_credit_holds (job_id, quel_member_id, org_id, amount)
  values (p_job_id, v_user, v_payer.org_id, case when v_covered then v_need else 0 end)
  on conflict (job_id) do update set amount = excluded.amount, released_at = null;
  if v_covered or v_refusal is not null then
    return v_refusal;
  end if;
  return format('insufficient credits: need %s, available %s', v_need, v_balance - v_others);
end
$$;

-- Make an image count and charge for it: all of it or nothing, and once. The caller holds the job's row, and says why its
-- run may settle nothing. One that counts from now on has `row_trails`: the job's row does not show it yet.
-- Who watches goes by the order of delivered_at: it never goes back, even where the clock does.
create or replace function public.darkroom_settle_image(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_run_id text, p_refusal text, p_user uuid,
  p_price integer, p_production_id uuid
) returns jsonb
language plpgsql set search_path = '' as $$
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
  if p_user is not null or exists (select from public.quel_credit_holds where job_id = p_job_id) then
    v_refusal := public.darkroom_charge(
      p_job_id, p_user, coalesce(v_stage.unit_price, p_price), p_production_id, v_image.attach_id,
      format('%s/%s/%s', p_job_id, p_stage_index, p_ordinal));
    if v_refusal is not null then
      return jsonb_build_object('settlement', 'insufficient', 'reason', v_refusal);
    end if;
  end if;
  update public.quel_attach set delivered_run = p_run_id, delivered_at = greatest(clock_timestamp(), (
    select max(delivered_at) + interval '1 microsecond' from public.quel_attach
    where job_id = p_job_id and delivered_at is not null))
  where attach_id = v_image.attach_id;
  update public.quel_job_stages set delivered_images = delivered_images + 1
  where job_id = p_job_id and stage_index = p_stage_index;
  return jsonb_build_object('settlement', 'settled', 'attach_id', v_image.attach_id, 'row_trails', true);
end
$$;

-- End the job under this run; closed before, it gives the same receipt again.
create or replace function public.darkroom_close_run(
  p_job_id uuid, p_run_id text, p_end text, p_error_message text, p_stages jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_job record;
  v_receipt jsonb;
  v_refusal text;
  v_ids jsonb;
  v_delivered integer;
  v_status text;
  v_stored public.quel_production_jobs.job_status%type;
  v_missing jsonb;
  v_error text := nullif(p_error_message, '');
  v_released integer;
  v_now timestamptz;
begin
  select job_status::text, current_run_id, coalesce(order_type, job_type) as job_type,
    coalesce(total_images, 0) as total_images, unit_price, production_id
  into v_job
  from public.quel_production_jobs where job_id = p_job_id for no key update;
  if not found then
    perform public.darkroom_not_found(p_job_id);
  end if;
  select receipt into v_receipt from public.quel_job_runs where run_id = p_run_id;
  if v_receipt is not null then
    return v_receipt;
  end if;
  v_refusal := public.darkroom_refuse_run(v_job.job_status, v_job.current_run_id, p_run_id);
  if v_refusal is not null then
    raise sqlstate 'PT409' using message = format('job %s cannot be closed: %s', p_job_id, v_refusal);
  end if;
  v_ids := public.darkroom_refresh_row(p_job_id);
  v_delivered := jsonb_array_length(v_ids);
  v_status := case
    when p_end = 'cancelled' then 'cancelled'
    when p_end = 'failed' or v_delivered = 0 then 'failed'
    else 'completed' end;
  v_stored := public.darkroom_word('job_status', v_status);
  update public.quel_job_stages as stage
  set stage_status = ended.status, reason = ended.reason
  from jsonb_to_recordset(p_stages) as ended (stage_index integer, status text, reason text)
  where stage.job_id = p_job_id and stage.stage_index = ended.stage_index;
  v_missing := public.darkroom_missing(p_job_id, v_error);
  if v_status = 'failed' and v_error is null then
    v_error := public.darkroom_nothing_delivered(v_missing);
  end if;
  v_released := public.darkroom_release_hold(p_job_id);
  v_now := clock_timestamp();
  update public.quel_job_runs set closed_at = v_now, released = v_released where run_id = p_run_id;
  update public.quel_production_jobs
  set job_status = v_stored, error_message = v_error, completed_at = v_now, updated_at = v_now,
    failed_images = case when v_status = 'cancelled' then 0 else total_images - v_delivered end,
    paused = false, paused_by_user = false, quota_until = null, pause_reason = null
  where job_id = p_job_id;
  perform public.darkroom_update_production(v_job.production_id, v_status, v_ids);
  v_receipt := jsonb_build_object(
    'job_id', p_job_id, 'job_type', coalesce(v_job.job_type, ''), 'status', v_status,
    'ordered', v_job.total_images, 'delivered', v_delivered, 'missing', v_missing,
    'unit_price', coalesce(v_job.unit_price, 0),
    'error_message', public.darkroom_shorten(v_error, 300, null),
    'total', public.darkroom_tally(p_job_id, null), 'last_run', public.darkroom_tally(p_job_id, p_run_id))
    || coalesce((
      select jsonb_build_object('org_id', org_id) from public.quel_credit_holds
      where job_id = p_job_id and org_id is not null), '{}')
    || coalesce((
      select jsonb_build_object('prices', jsonb_agg(distinct coalesce(unit_price, v_job.unit_price, 0)))
      from public.quel_job_stages where job_id = p_job_id
      having count(distinct coalesce(unit_price, v_job.unit_price, 0)) > 1), '{}');
  update public.quel_job_runs set receipt = v_receipt where run_id = p_run_id;
  return v_receipt;
end
$$;

-- A job as it stands, with at most p_limit pictures that were delivered behind the mark. One statement, one snapshot.
create or replace function public.darkroom_look(
  p_job_id uuid, p_after_at timestamptz, p_after_id bigint, p_limit integer, p_most_frames integer
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'user_id', job.quel_member_id, 'progress', public.darkroom_progress(job.job_id, -1),
    'created_at', coalesce(job.created_at, job.started_at, job.updated_at, 'epoch'),
    'completed_at', job.completed_at, 'unit_price', job.unit_price,
    -- Each delivered picture is charged once, at its stage's price: 0 without a user, none for a job of before Darkroom.
    'spent', coalesce((
      select sum(stage.delivered_images * coalesce(stage.unit_price, job.unit_price))
      from public.quel_job_stages as stage where stage.job_id = job.job_id), 0),
    'held', coalesce((
      select amount from public.quel_credit_holds where job_id = job.job_id and released_at is null), 0),
    'pictures', coalesce((
      select jsonb_agg(jsonb_build_object(
        'attach_id', page.attach_id, 'stage_index', page.stage_index, 'ordinal', page.ordinal,
        'path', page.attach_file_path, 'size', page.attach_file_size, 'sha256', page.sha256,
        'delivered_at', page.delivered_at, 'round', coalesce(call.round, 0), 'provider', call.provider,
        'model', call.model, 'seconds', call.seconds, 'price', (
          select unit_price from public.quel_job_stages as stage
          where stage.job_id = p_job_id and stage.stage_index = page.stage_index)) order by page.delivered_at, page.attach_id)
      from (
        (
          select attach_id, stage_index, ordinal, attach_file_path, attach_file_size, sha256, delivered_at
          from public.quel_attach
          where job_id = p_job_id and delivered_at is not null
            and (delivered_at, attach_id) > (coalesce(p_after_at, '-infinity'), coalesce(p_after_id, 0))
          order by delivered_at, attach_id limit p_limit
        ) union all (
          select attach_id, stage_index, ordinal, path, size, sha256, delivered_at
          from public.darkroom_earlier_images(p_job_id)
          where (delivered_at, attach_id) > (coalesce(p_after_at, '-infinity'), coalesce(p_after_id, 0))
          order by delivered_at, attach_id limit p_limit
        )
      ) as page
      left join lateral (
        -- A delivered picture is that of the newest call that was generated for it.
        select made.round, made.provider, made.model, made.seconds from public.quel_generation_attempts as made
        where made.job_id = p_job_id and made.stage_index = page.stage_index and made.ordinal = page.ordinal
          and made.outcome = 'generated'
        order by made.attempt_id desc limit 1
      ) as call on true), '[]'),
    'undelivered', public.darkroom_undelivered(
      job.job_id, job.current_run_id, public.darkroom_status_of(job.job_status::text, job.current_run_id) = 'processing',
      job.paused or job.cancel_requested or job.failing, p_most_frames))
    || coalesce((
      select jsonb_build_object('paid_by', jsonb_build_object(
        'org_id', organization.org_id, 'name', coalesce(organization.org_name, '')))
      from public.quel_credit_holds as hold join public.quel_organization as organization using (org_id)
      where hold.job_id = p_job_id), '{}')
  from public.quel_production_jobs as job
  where job.job_id = p_job_id and public.darkroom_status_of(job_status::text, current_run_id)
    in ('pending', 'processing', 'completed', 'failed', 'cancelled')
$$;

-- Each line names one thing that is broken; without any, all is as it should be.
create or replace function public.darkroom_audit() returns jsonb
language sql stable security definer set search_path = '' as $$
  with delivered as (
    select job_id, count(*) as images from public.quel_attach
    where delivered_at is not null and job_id is not null group by job_id
  ), charged as (
    select job_id, attach_idx, count(*) as charges from public.quel_credits
    where transaction_type = 'DEDUCT' and idempotency_key is not null and job_id is not null
    group by job_id, attach_idx
  ), ours as (
    select * from public.quel_production_jobs where current_run_id is not null
  ), found (line) as (
    select format('member %s: balance %s is not opening balance + journal = %s',
      member.quel_member_id, quel_member_credit, opening_balance + coalesce(journal.amount, 0))
    from public.quel_member as member
    left join (
      select user_id as quel_member_id, sum(amount) as amount from public.quel_credits
      where org_id is null group by user_id
    ) as journal using (quel_member_id)
    where quel_member_credit <> opening_balance + coalesce(journal.amount, 0)
    union all
    select format('member %s: the balance %s is below 0', quel_member_id, quel_member_credit)
    from public.quel_member where quel_member_credit < 0
    union all
    select format('organization %s: balance %s is not opening balance + journal = %s',
      organization.org_id, coalesce(org_credit, 0), coalesce(opening_balance, 0) + coalesce(journal.amount, 0))
    from public.quel_organization as organization
    left join public.quel_organization_opening using (org_id)
    left join (
      select org_id, sum(amount) as amount from public.quel_credits where org_id is not null group by org_id
    ) as journal using (org_id)
    where coalesce(org_credit, 0) <> coalesce(opening_balance, 0) + coalesce(journal.amount, 0)
    union all
    select format('organization %s: the balance %s is below 0', org_id, org_credit)
    from public.quel_organization where org_credit < 0
    union all
    select format('job %s: %s is to pay, but attachment %s was charged to %s', hold.job_id,
      coalesce('organization ' || hold.org_id, 'member ' || hold.quel_member_id), credit.attach_idx,
      coalesce('organization ' || credit.org_id, 'member ' || credit.user_id))
    from public.quel_credit_holds as hold join public.quel_credits as credit using (job_id)
    where credit.transaction_type = 'DEDUCT' and credit.idempotency_key is not null
      and (hold.org_id, hold.quel_member_id) is distinct from (credit.org_id, credit.user_id)
    union all
    select format('job %s: %s images are delivered, %s are charged',
      job_id, delivered.images, coalesce(journal.charges, 0))
    from ours join delivered using (job_id)
    left join (
      select job_id, count(*) as charges from public.quel_credits
      where transaction_type = 'DEDUCT' group by job_id
    ) as journal using (job_id)
    where quel_member_id is not null and delivered.images <> coalesce(journal.charges, 0)
    union all
    select format('job %s: attachment %s was charged without being delivered', charged.job_id, attach_idx)
    from charged left join public.quel_attach as image on image.attach_id = attach_idx
    where image.delivered_at is null
    union all
    select format('job %s: attachment %s was charged %s times', job_id, attach_idx, charges)
    from charged where charges > 1
    union all
    select format('job %s: its row lists %s times attachment %s, of which %s are delivered images of the job',
      ours.job_id, count(*), listed.id, count(image.attach_id))
    from ours cross join jsonb_array_elements_text(generated_attach_ids) as listed (id)
    left join public.quel_attach as image on image.attach_id = listed.id::bigint
      and image.job_id = ours.job_id and image.delivered_at is not null
    group by ours.job_id, listed.id having count(*) <> 1 or count(image.attach_id) <> 1
    union all
    select format('job %s: completed_images is %s, but %s ids are listed',
      job_id, completed_images, jsonb_array_length(generated_attach_ids))
    from ours where completed_images <> jsonb_array_length(generated_attach_ids)
    union all
    select format('job %s: ended with completed_images %s, but %s images are delivered',
      job_id, completed_images, coalesce(delivered.images, 0))
    from ours left join delivered using (job_id)
    where public.darkroom_is_over(job_status::text, current_run_id)
      and completed_images <> coalesce(delivered.images, 0)
    union all
    select format('job %s, stage %s: counts %s delivered images, but has %s',
      stage.job_id, stage.stage_index, stage.delivered_images, coalesce(counted.images, 0))
    from public.quel_job_stages as stage
    left join (
      select job_id, stage_index, count(*) as images from public.quel_attach
      where delivered_at is not null and job_id is not null group by job_id, stage_index
    ) as counted using (job_id, stage_index)
    where stage.delivered_images <> coalesce(counted.images, 0)
    union all
    select format('job %s: has ended, but its hold of %s credits is open', job_id, amount)
    from public.quel_credit_holds join public.quel_production_jobs using (job_id)
    where released_at is null and public.darkroom_is_over(job_status::text, current_run_id)
    union all
    select format('job %s: its open hold is %s, but %s missing images cost %s',
      hold.job_id, hold.amount, stages.missing, stages.due)
    from public.quel_credit_holds as hold join ours using (job_id)
    join (
      select stage.job_id, sum(target - delivered_images) as missing,
        sum((target - delivered_images)::bigint * coalesce(stage.unit_price, job.unit_price)) as due
      from public.quel_job_stages as stage join public.quel_production_jobs as job using (job_id) group by stage.job_id
    ) as stages using (job_id)
    join public.quel_job_runs as run on run.run_id = ours.current_run_id
    where hold.released_at is null and run.failure is null
      and hold.amount <> stages.due
  )
  select coalesce(jsonb_agg(line), '[]') from found
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127210000') on conflict do nothing;

notify pgrst, 'reload schema';
