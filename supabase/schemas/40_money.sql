-- Credits, and what jobs set aside of them and take from them (spec §4); organizations are in 42_organizations.sql. Locks
-- are taken in the order that 30_images.sql gives: first the job's row, then that of whoever pays, then the hold.

-- Who is inserted with a balance has it as the opening balance, whoever inserts the row: no journal explains it.
create or replace function public.darkroom_set_opening_balance() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.opening_balance := coalesce(new.opening_balance, new.quel_member_credit, 0);
  return new;
end
$$;
create trigger darkroom_opening_balance before insert on public.quel_member
  for each row execute function public.darkroom_set_opening_balance();

-- Make a member with this balance; one that is there stays as they are.
create or replace function public.darkroom_ensure_member(p_user_id uuid, p_opening_balance integer) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if not exists (select from public.quel_member where quel_member_id = p_user_id) then
    perform public.darkroom_insert('quel_member', jsonb_build_object(
      'quel_member_id', p_user_id, 'quel_member_credit', p_opening_balance, 'opening_balance', p_opening_balance));
  end if;
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

-- Add credits with a journal row, once per key.
create or replace function public.darkroom_grant(p_user_id uuid, p_amount integer, p_idempotency_key text)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_balance bigint;
begin
  perform public.darkroom_ensure_member(p_user_id, 0);
  select coalesce(quel_member_credit, 0) into v_balance
  from public.quel_member where quel_member_id = p_user_id for no key update;
  if not exists (select 1 from public.quel_credits where idempotency_key = p_idempotency_key) then
    if v_balance + p_amount not between 0 and 2147483647 then
      raise sqlstate 'PT422' using message = format(
        'user %s has %s credits; with %s more the balance would not be between 0 and 2147483647',
        p_user_id, v_balance, p_amount);
    end if;
    insert into public.quel_credits (
      user_id, transaction_type, amount, balance_after, idempotency_key, created_at)
    values (
      p_user_id, public.darkroom_word('transaction_type', 'GRANT'), p_amount, v_balance + p_amount, p_idempotency_key,
      clock_timestamp());
    update public.quel_member set quel_member_credit = v_balance + p_amount where quel_member_id = p_user_id;
  end if;
  return public.darkroom_account(p_user_id);
end
$$;

-- A member's rows of the journal, newest first; those of an organization's credits are not theirs.
create or replace function public.darkroom_journal(p_user_id uuid, p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'transaction_type', page.transaction_type, 'amount', page.amount, 'balance_after', page.balance_after,
    'attach_id', page.attach_idx, 'production_id', page.production_idx,
    'idempotency_key', page.idempotency_key, 'created_at', coalesce(page.created_at, 'epoch')
  ) order by page.created_at desc nulls last, page.id desc), '[]')
  from (
    select * from public.quel_credits where user_id = p_user_id and org_id is null
    order by created_at desc nulls last, id desc limit p_limit
  ) as page
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

-- Take the price of each of these pictures from balance and hold, all or nothing; gives the reason when whoever pays may
-- not, or has too little. The hold says who pays: the job's row can be changed by others. The journal goes by time.
create or replace function public.darkroom_charge_all(
  p_job_id uuid, p_user uuid, p_price integer, p_production_id uuid, p_attach_ids bigint[], p_keys text[]
) returns text
language plpgsql set search_path = '' as $$
declare
  v_payer record;
  v_user uuid;
  v_refusal text;
  v_balance bigint;
  v_held integer;
  v_need bigint := p_price::bigint * cardinality(p_keys);
  v_now timestamptz;
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
  if coalesce(v_balance, 0) < v_need then
    return format('insufficient credits: need %s, balance %s', v_need, coalesce(v_balance, 0));
  end if;
  select amount into v_held from public.quel_credit_holds
  where job_id = p_job_id and released_at is null for no key update;
  if coalesce(v_held, -1) < v_need then
    return format('insufficient credits: need %s, the job''s hold has %s left', v_need, coalesce(v_held, 0));
  end if;
  v_now := clock_timestamp();
  insert into public.quel_credits (
    user_id, org_id, used_by_member_id, transaction_type, amount, balance_after, attach_idx, production_idx,
    job_id, idempotency_key, created_at)
  select v_user, v_payer.org_id, case when v_payer.org_id is not null then v_user end, 'DEDUCT', -p_price,
    v_balance - p_price * place, attach_id, p_production_id, p_job_id, key, v_now + (place - 1) * interval '1 us'
  from unnest(p_attach_ids, p_keys) with ordinality as charged (attach_id, key, place) order by place;
  if v_payer.org_id is null then
    update public.quel_member set quel_member_credit = v_balance - v_need where quel_member_id = v_user;
  else
    update public.quel_organization set org_credit = v_balance - v_need where org_id = v_payer.org_id;
  end if;
  update public.quel_credit_holds set amount = amount - v_need where job_id = p_job_id;
  return null;
end
$$;

-- For one picture. No function calls it any more but one that began before the migration that brought the one above.
create or replace function public.darkroom_charge(
  p_job_id uuid, p_user uuid, p_price integer, p_production_id uuid, p_attach_id bigint, p_key text
) returns text
language sql set search_path = '' as $$
  select public.darkroom_charge_all(p_job_id, p_user, p_price, p_production_id, array[p_attach_id], array[p_key])
$$;

-- Release the job's hold; answers what was left of it.
create or replace function public.darkroom_release_hold(p_job_id uuid) returns integer
language plpgsql set search_path = '' as $$
declare
  v_amount integer;
begin
  select amount into v_amount from public.quel_credit_holds
  where job_id = p_job_id and released_at is null for no key update;
  if not found then
    return 0;
  end if;
  update public.quel_credit_holds set amount = 0, released_at = clock_timestamp() where job_id = p_job_id;
  return v_amount;
end
$$;

-- Release what is still held of jobs that have ended; gives the jobs that had such a hold.
create or replace function public.darkroom_release_ended_holds() returns jsonb
language sql security definer set search_path = '' as $$
  with released as (
    update public.quel_credit_holds as hold set amount = 0, released_at = clock_timestamp()
    where hold.released_at is null and exists (
      select 1 from public.quel_production_jobs as job
      where job.job_id = hold.job_id and public.darkroom_is_over(job.job_status::text, job.current_run_id))
    returning hold.job_id
  )
  select coalesce(jsonb_agg(job_id), '[]') from released
$$;
