-- Members, their credits and the pictures they uploaded.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = off;  -- as the first file says

create or replace function public.darkroom_ensure_member(p_user_id uuid, p_opening_balance integer) returns void
language sql security definer set search_path = '' as $$
  insert into public.quel_member (quel_member_id, quel_member_credit, opening_balance, created_at)
  values (p_user_id, p_opening_balance, p_opening_balance, clock_timestamp())
  on conflict (quel_member_id) do nothing
$$;

-- A member's balance and what open holds set aside of it; null without a member row.
create or replace function public.darkroom_account(p_user_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'user_id', member.quel_member_id, 'balance', coalesce(member.quel_member_credit, 0),
    'held', coalesce((
      select sum(amount) from public.quel_credit_holds as hold
      where hold.quel_member_id = member.quel_member_id and hold.released_at is null), 0))
  from public.quel_member as member where member.quel_member_id = p_user_id
$$;

-- Add credits with a journal row, once per key.
create or replace function public.darkroom_grant(p_user_id uuid, p_amount integer, p_idempotency_key text)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_balance integer;
begin
  perform public.darkroom_ensure_member(p_user_id, 0);
  select coalesce(quel_member_credit, 0) into v_balance
  from public.quel_member where quel_member_id = p_user_id for no key update;
  if not exists (select 1 from public.quel_credits where idempotency_key = p_idempotency_key) then
    if v_balance::bigint + p_amount not between 0 and 2147483647 then
      raise sqlstate 'PT422' using message = format(
        'user %s has %s credits; with %s more the balance would not be between 0 and 2147483647',
        p_user_id, v_balance, p_amount);
    end if;
    insert into public.quel_credits (
      quel_member_id, transaction_type, amount, balance_after, idempotency_key, created_at)
    values (p_user_id, 'GRANT', p_amount, v_balance + p_amount, p_idempotency_key, clock_timestamp());
    update public.quel_member set quel_member_credit = v_balance + p_amount where quel_member_id = p_user_id;
  end if;
  return public.darkroom_account(p_user_id);
end
$$;

create or replace function public.darkroom_journal(p_user_id uuid, p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'transaction_type', page.transaction_type, 'amount', page.amount, 'balance_after', page.balance_after,
    'attach_id', page.attach_idx, 'production_id', page.production_idx,
    'idempotency_key', page.idempotency_key, 'created_at', coalesce(page.created_at, 'epoch')
  ) order by page.created_at desc nulls last, page.id desc), '[]')
  from (
    select * from public.quel_credits where quel_member_id = p_user_id
    order by created_at desc nulls last, id desc limit p_limit
  ) as page
$$;

-- Those that exist and can be shown (uploads, and images that were delivered), with their owners.
create or replace function public.darkroom_reference_owners(p_attach_ids bigint[]) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('attach_id', attach_id, 'user_id', quel_member_id)), '[]')
  from public.quel_attach
  where attach_id = any (p_attach_ids) and (job_id is null or delivered_at is not null)
$$;

create or replace function public.darkroom_production_owner(p_production_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object('user_id', quel_member_id)
  from public.quel_production_photo where production_id = p_production_id
$$;

-- Rows of before Darkroom may lack a type; what they were, mostly, is WebP.
create or replace function public.darkroom_stored_file(p_attach_id bigint) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'attach_id', attach_id, 'path', attach_file_path, 'user_id', quel_member_id,
    'media_type', coalesce(nullif(attach_file_type, ''), case lower(substring(attach_file_path from '[^.]*$'))
      when 'png' then 'image/png' when 'jpg' then 'image/jpeg' when 'jpeg' then 'image/jpeg'
      else 'image/webp' end))
  from public.quel_attach
  where attach_id = p_attach_id and attach_file_path is not null and (job_id is null or delivered_at is not null)
$$;

-- Record an uploaded picture, or find the row of the same picture of the same user.
create or replace function public.darkroom_add_reference(p_reference jsonb) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  v_path text := p_reference->>'path';
  v_name text := regexp_replace(v_path, '^.*/', '');
  v_user uuid := (p_reference->>'user_id')::uuid;
  v_attach_id bigint;
begin
  -- Two uploads of one picture at once take turns: no constraint of old rows could hold them apart.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(v_path, 0));
  select attach_id into v_attach_id from public.quel_attach
  where sha256 = p_reference->>'sha256' and job_id is null and attach_file_path = v_path
    and quel_member_id is not distinct from v_user
  limit 1;
  if not found then
    insert into public.quel_attach (
      attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type,
      attach_directory, attach_storage_type, quel_member_id, sha256, created_at)
    values (
      p_reference->>'original_name', v_name, v_path, (p_reference->>'size')::integer,
      p_reference->>'media_type', left(v_path, greatest(0, length(v_path) - length(v_name) - 1)), 'supabase',
      v_user, p_reference->>'sha256', clock_timestamp())
    returning attach_id into v_attach_id;
  end if;
  return v_attach_id;
end
$$;

select public.darkroom_close_functions();
insert into public.quel_schema_versions (version) values ('20261121090500') on conflict do nothing;
