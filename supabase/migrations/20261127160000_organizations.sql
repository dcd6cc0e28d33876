-- Organizations pay for the jobs of their members (spec §4): a hold says who pays, from the first opening of its job on.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- Each table with its rights in one statement, so that it is open to nobody in between. Where a front end keeps them
-- already, they stay as they are.
do $$
begin
  if to_regclass('public.quel_organization') is null then
    create table if not exists public.quel_organization (
      org_id uuid primary key default gen_random_uuid(),
      org_name text not null,
      org_credit bigint default 0 check (org_credit >= 0),
      owner_id uuid not null,
      org_status text not null default 'active',
      created_at timestamptz default now(),
      updated_at timestamptz default now()
    );
    alter table public.quel_organization enable row level security;
    revoke all on public.quel_organization from public, anon, authenticated;
    grant all on public.quel_organization to service_role;
  end if;
  if to_regclass('public.quel_organization_member') is null then
    create table if not exists public.quel_organization_member (
      id uuid primary key default gen_random_uuid(),
      org_id uuid not null references public.quel_organization (org_id) on delete cascade,
      member_id uuid not null references public.quel_member (quel_member_id) on delete cascade,
      role text not null default 'member',
      status text not null default 'active',
      unique (org_id, member_id)
    );
    alter table public.quel_organization_member enable row level security;
    revoke all on public.quel_organization_member from public, anon, authenticated;
    grant all on public.quel_organization_member to service_role;
  end if;
  if to_regclass('public.quel_organization_opening') is null then
    create table if not exists public.quel_organization_opening (
      org_id uuid primary key references public.quel_organization (org_id) on delete cascade,
      opening_balance bigint not null
    );
    alter table public.quel_organization_opening enable row level security;
    revoke all on public.quel_organization_opening from public, anon, authenticated;
    grant all on public.quel_organization_opening to service_role;
  end if;
end
$$;
create index if not exists quel_organization_member_of on public.quel_organization_member (member_id);

alter table public.quel_production_jobs add column if not exists org_id uuid;
alter table public.quel_credits
  add column if not exists org_id uuid,
  add column if not exists used_by_member_id uuid;
create index if not exists quel_credits_organization
  on public.quel_credits (org_id, created_at desc nulls last, id desc) where org_id is not null;
alter table public.quel_credit_holds add column if not exists org_id uuid;
create index if not exists quel_credit_holds_organization
  on public.quel_credit_holds (org_id) where org_id is not null and released_at is null;

-- Who is inserted with a balance has it as the opening balance, whoever inserts the row: no journal explains it.
create or replace function public.darkroom_open_organization() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.quel_organization_opening (org_id, opening_balance)
  values (new.org_id, coalesce(new.org_credit, 0)) on conflict (org_id) do nothing;
  return null;
end
$$;

create or replace trigger darkroom_opening_balance after insert on public.quel_organization
  for each row execute function public.darkroom_open_organization();

-- The trigger locks the table until this is through: a balance cannot change between the two sums.
insert into public.quel_organization_opening (org_id, opening_balance)
select organization.org_id, coalesce(organization.org_credit, 0) - coalesce((
  select sum(credit.amount) from public.quel_credits as credit where credit.org_id = organization.org_id), 0)
from public.quel_organization as organization
on conflict (org_id) do nothing;

-- Why an organization does not pay for a user's job, in the words of darkroom/domain/wallets.py; null when it does. Who
-- is no member learns nothing of it, not even whether it exists.
create or replace function public.darkroom_cannot_pay(p_org_id uuid, p_user_id uuid) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_organization text;
  v_member text;
begin
  select org_status::text into v_organization from public.quel_organization where org_id = p_org_id;
  if found then
    select status::text into v_member from public.quel_organization_member
    where org_id = p_org_id and member_id = p_user_id;
  end if;
  if v_member is distinct from 'active' then
    return format(
      'user %s is not an active member of organization %s%s; ask an admin of the organization to add the user',
      p_user_id, p_org_id, ' (status: ' || v_member || ')');
  end if;
  if v_organization is distinct from 'active' then
    return format(
      'organization %s is %s and cannot pay; ask its owner to reactivate it', p_org_id, v_organization);
  end if;
  return null;
end
$$;

-- An organization's balance and what open holds set aside of it; null without one.
create or replace function public.darkroom_organization(p_org_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'org_id', organization.org_id, 'name', coalesce(organization.org_name, ''),
    'status', coalesce(organization.org_status::text, ''), 'balance', coalesce(organization.org_credit, 0),
    'held', coalesce((
      select sum(amount) from public.quel_credit_holds as hold
      where hold.org_id = organization.org_id and hold.released_at is null), 0))
  from public.quel_organization as organization where organization.org_id = p_org_id
$$;

-- Those whose active member a user is, by name.
create or replace function public.darkroom_organizations(p_user_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(
    public.darkroom_organization(organization.org_id) order by organization.org_name, organization.org_id), '[]')
  from public.quel_organization_member as member join public.quel_organization as organization using (org_id)
  where member.member_id = p_user_id and member.status::text = 'active'
$$;

-- The status of a user's membership; null without one.
create or replace function public.darkroom_membership(p_org_id uuid, p_user_id uuid) returns text
language sql stable security definer set search_path = '' as $$
  select status::text from public.quel_organization_member where org_id = p_org_id and member_id = p_user_id
$$;

-- Add credits with a row of the journal in the owner's name, once per key.
create or replace function public.darkroom_grant_organization(
  p_org_id uuid, p_amount integer, p_idempotency_key text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_balance bigint;
  v_owner uuid;
begin
  select coalesce(org_credit, 0), owner_id into v_balance, v_owner
  from public.quel_organization where org_id = p_org_id for no key update;
  if not found then
    raise sqlstate 'PT422' using message = format('organization %s does not exist; check its id', p_org_id);
  end if;
  if not exists (select 1 from public.quel_credits where idempotency_key = p_idempotency_key) then
    if v_balance + p_amount not between 0 and 2147483647 then
      raise sqlstate 'PT422' using message = format(
        'organization %s has %s credits; with %s more the balance would not be between 0 and 2147483647',
        p_org_id, v_balance, p_amount);
    end if;
    insert into public.quel_credits (
      user_id, org_id, transaction_type, amount, balance_after, idempotency_key, created_at)
    values (
      v_owner, p_org_id, public.darkroom_word('transaction_type', 'GRANT'), p_amount, v_balance + p_amount,
      p_idempotency_key, clock_timestamp());
    update public.quel_organization set org_credit = v_balance + p_amount where org_id = p_org_id;
  end if;
  return public.darkroom_organization(p_org_id);
end
$$;

-- An organization's rows of the journal, newest first.
create or replace function public.darkroom_organization_journal(p_org_id uuid, p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'transaction_type', page.transaction_type, 'amount', page.amount, 'balance_after', page.balance_after,
    'attach_id', page.attach_idx, 'production_id', page.production_idx,
    'idempotency_key', page.idempotency_key, 'created_at', coalesce(page.created_at, 'epoch'),
    'org_id', page.org_id, 'used_by_member_id', page.used_by_member_id
  ) order by page.created_at desc nulls last, page.id desc), '[]')
  from (
    select * from public.quel_credits where org_id = p_org_id
    order by created_at desc nulls last, id desc limit p_limit
  ) as page
$$;

-- The row as clients poll it. Rows of before Darkroom may lack anything.
create or replace function public.darkroom_job_json(job public.quel_production_jobs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'job_id', job.job_id, 'job_type', coalesce(job.order_type, job.job_type),
    'status', public.darkroom_status_of(job.job_status::text, job.current_run_id),
    'user_id', job.quel_member_id, 'production_id', job.production_id,
    'paused', job.paused, 'pause_reason', job.pause_reason, 'cancel_requested', job.cancel_requested,
    'total_images', coalesce(job.total_images, 0), 'completed_images', coalesce(job.completed_images, 0),
    'failed_images', coalesce(job.failed_images, 0),
    'generated_attach_ids', coalesce(nullif(job.generated_attach_ids, 'null'), '[]'),
    'error_message', job.error_message, 'retry_count', coalesce(job.retry_count, 0),
    'run_id', job.current_run_id, 'unit_price', job.unit_price, 'priority', job.priority,
    'created_at', coalesce(job.created_at, job.started_at, job.updated_at, 'epoch'),
    'started_at', job.started_at, 'completed_at', job.completed_at,
    'updated_at', coalesce(job.updated_at, job.created_at, 'epoch'))
    || case when job.org_id is null then '{}' else jsonb_build_object('org_id', job.org_id) end
$$;

-- Store a job as pending; one that is there stays as it is. Answers whether it was stored. Where a job needs a
-- production, one is made for it.
create or replace function public.darkroom_create_job(p_job jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
  v_production uuid := p_job->>'production_id';
  v_stored boolean;
begin
  if exists (select from public.quel_production_jobs where job_id = (p_job->>'job_id')::uuid) then
    return false;
  end if;
  if v_production is null and exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'public.quel_production_jobs'::regclass and attname = 'production_id' and attnotnull
  ) then
    v_production := gen_random_uuid();
    perform public.darkroom_insert('quel_production_photo', jsonb_build_object(
      'production_id', v_production, 'quel_member_id', p_job->'user_id', 'org_id', p_job->'org_id',
      'production_name', left(coalesce(p_job#>>'{document,name}', p_job->>'job_type'), 120),
      'production_status', 'pending', 'pipeline_type', p_job->'job_type', 'total_quantity', p_job->'total_images'));
  end if;
  v_stored := public.darkroom_insert_job(jsonb_build_object(
    'job_id', p_job->'job_id', 'job_type', p_job->'job_type', 'job_status', 'pending',
    'quel_member_id', p_job->'user_id', 'org_id', p_job->'org_id', 'production_id', v_production,
    'job_input_data', p_job->'document', 'total_images', p_job->'total_images', 'priority', p_job->'priority', 'webhook_url', p_job->'webhook_url',
    'created_at', v_now, 'updated_at', v_now));
  if not v_stored and p_job->>'production_id' is null then
    delete from public.quel_production_photo where production_id = v_production;
  end if;
  return v_stored;
end
$$;

-- What a job's order is read from: the document as it came, and whether its stages are stored already.
create or replace function public.darkroom_order_source(p_job_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_source jsonb;
begin
  select jsonb_build_object(
    'job_id', job.job_id, 'job_type', coalesce(job.order_type, job.job_type), 'user_id', job.quel_member_id,
    'production_id', job.production_id, 'document', job.job_input_data,
    'opened', exists (select 1 from public.quel_job_stages as stage where stage.job_id = job.job_id))
    || case when job.org_id is null then '{}' else jsonb_build_object('org_id', job.org_id) end
  into v_source from public.quel_production_jobs as job where job.job_id = p_job_id;
  if v_source is null then
    perform public.darkroom_not_found(p_job_id);
  end if;
  return v_source;
end
$$;

-- The stages and terms of the first opening; they hold for every restart. So does who pays: the hold says it.
create or replace function public.darkroom_store_order(p_job_id uuid, p_order jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.quel_job_stages (
    job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images)
  select p_job_id, stage.stage_index, stage.label, stage.prompt, stage.quantity, stage.target,
    stage.aspect_ratio, stage."references"
  from jsonb_to_recordset(p_order->'stages') as stage (
    stage_index integer, label text, prompt text, quantity integer, target integer, aspect_ratio text,
    "references" jsonb);
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

-- A member's balance and what open holds set aside of it; null without a member row.
create or replace function public.darkroom_account(p_user_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'user_id', member.quel_member_id, 'balance', coalesce(member.quel_member_credit, 0),
    'held', coalesce((
      select sum(amount) from public.quel_credit_holds as hold
      where hold.quel_member_id = member.quel_member_id and hold.org_id is null and hold.released_at is null), 0))
  from public.quel_member as member where member.quel_member_id = p_user_id
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
  v_missing bigint;
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
  select coalesce(sum(greatest(0, target - delivered_images)), 0) into v_missing
  from public.quel_job_stages where job_id = p_job_id;
  v_need := v_missing * v_price;
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

-- Take the price from balance and hold; gives the reason when whoever pays may not, or has too little. The hold says who
-- pays: the job's row can be changed by others.
create or replace function public.darkroom_charge(
  p_job_id uuid, p_user uuid, p_price integer, p_production_id uuid, p_attach_id bigint, p_key text
) returns text
language plpgsql set search_path = '' as $$
declare
  v_payer record;
  v_user uuid;
  v_refusal text;
  v_balance bigint;
  v_held integer;
begin
  select quel_member_id, org_id into v_payer from public.quel_credit_holds where job_id = p_job_id;
  v_user := coalesce(v_payer.quel_member_id, p_user);
  if v_payer.org_id is null then
    select quel_member_credit into v_balance from public.quel_member where quel_member_id = v_user for no key update;
  else
    select org_credit into v_balance
    from public.quel_organization where org_id = v_payer.org_id for no key update;
    v_refusal := public.darkroom_cannot_pay(v_payer.org_id, v_user);
    if v_refusal is not null then
      return v_refusal;
    end if;
  end if;
  if coalesce(v_balance, 0) < p_price then
    return format('insufficient credits: need %s, balance %s', p_price, coalesce(v_balance, 0));
  end if;
  select amount into v_held from public.quel_credit_holds
  where job_id = p_job_id and released_at is null for no key update;
  if coalesce(v_held, -1) < p_price then
    return format('insufficient credits: need %s, the job''s hold has %s left', p_price, coalesce(v_held, 0));
  end if;
  insert into public.quel_credits (
    user_id, org_id, used_by_member_id, transaction_type, amount, balance_after, attach_idx, production_idx,
    job_id, idempotency_key, created_at)
  values (
    v_user, v_payer.org_id, case when v_payer.org_id is not null then v_user end, 'DEDUCT', -p_price,
    v_balance - p_price, p_attach_id, p_production_id, p_job_id, p_key, clock_timestamp());
  if v_payer.org_id is null then
    update public.quel_member set quel_member_credit = v_balance - p_price where quel_member_id = v_user;
  else
    update public.quel_organization set org_credit = v_balance - p_price where org_id = v_payer.org_id;
  end if;
  update public.quel_credit_holds set amount = amount - p_price where job_id = p_job_id;
  return null;
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
  select target, delivered_images into v_stage from public.quel_job_stages
  where job_id = p_job_id and stage_index = p_stage_index;
  -- The target, not the quantity: a stage's part of max_credits is never taken by another stage.
  if not found or v_stage.delivered_images >= v_stage.target then
    return jsonb_build_object(
      'settlement', 'stage_full', 'reason', 'the stage has all it may deliver already');
  end if;
  if p_user is not null or exists (select from public.quel_credit_holds where job_id = p_job_id) then
    v_refusal := public.darkroom_charge(
      p_job_id, p_user, p_price, p_production_id, v_image.attach_id,
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
      where job_id = p_job_id and org_id is not null), '{}');
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
    -- Each delivered picture is charged once, at the job's price: 0 without a user, none for a job of before Darkroom.
    'spent', coalesce(job.unit_price * (
      select sum(delivered_images) from public.quel_job_stages where job_id = job.job_id), 0),
    'held', coalesce((
      select amount from public.quel_credit_holds where job_id = job.job_id and released_at is null), 0),
    'pictures', coalesce((
      select jsonb_agg(jsonb_build_object(
        'attach_id', page.attach_id, 'stage_index', page.stage_index, 'ordinal', page.ordinal,
        'path', page.attach_file_path, 'size', page.attach_file_size, 'sha256', page.sha256,
        'delivered_at', page.delivered_at, 'round', coalesce(call.round, 0), 'provider', call.provider,
        'model', call.model, 'seconds', call.seconds) order by page.delivered_at, page.attach_id)
      from (
        select attach_id, stage_index, ordinal, attach_file_path, attach_file_size, sha256, delivered_at
        from public.quel_attach
        where job_id = p_job_id and delivered_at is not null
          and (delivered_at, attach_id) > (coalesce(p_after_at, '-infinity'), coalesce(p_after_id, 0))
        order by delivered_at, attach_id limit p_limit
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
      hold.job_id, hold.amount, stages.missing, stages.missing * ours.unit_price)
    from public.quel_credit_holds as hold join ours using (job_id)
    join (
      select job_id, sum(target - delivered_images) as missing from public.quel_job_stages group by job_id
    ) as stages using (job_id)
    join public.quel_job_runs as run on run.run_id = ours.current_run_id
    where hold.released_at is null and run.failure is null
      and hold.amount <> stages.missing * ours.unit_price
  )
  select coalesce(jsonb_agg(line), '[]') from found
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127160000') on conflict do nothing;

notify pgrst, 'reload schema';
