-- Organizations that pay for the jobs of their members (spec §4).

-- Who is inserted with a balance has it as the opening balance, whoever inserts the row: no journal explains it.
create or replace function public.darkroom_open_organization() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.quel_organization_opening (org_id, opening_balance)
  values (new.org_id, coalesce(new.org_credit, 0)) on conflict (org_id) do nothing;
  return null;
end
$$;
create trigger darkroom_opening_balance after insert on public.quel_organization
  for each row execute function public.darkroom_open_organization();

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
