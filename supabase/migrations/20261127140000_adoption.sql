-- The tables of deployments that ran before Darkroom, as they are: enums, bigints, columns that must have a value. Our own
-- tables name the member of a journal's row `user_id`, as theirs do. What belongs to a job goes with its row.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));
set check_function_bodies = on;

create table if not exists public.quel_adopted_tables (table_name text primary key);
create table if not exists public.quel_words (
  subject text not null,
  word text not null,
  stored text,
  primary key (subject, word)
);
alter table public.quel_adopted_tables enable row level security;
alter table public.quel_words enable row level security;
revoke all on public.quel_adopted_tables, public.quel_words from public, anon, authenticated;
grant all on public.quel_adopted_tables, public.quel_words to service_role;

do $$
declare
  v_key record;
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'public.quel_credits'::regclass and attname = 'user_id' and not attisdropped
  ) then
    alter table public.quel_credits rename column quel_member_id to user_id;
    -- From PostgreSQL 18 on, a constraint says that it must have a value, and is named after it.
    if exists (
      select from pg_catalog.pg_constraint
      where conrelid = 'public.quel_credits'::regclass and conname = 'quel_credits_quel_member_id_not_null'
    ) then
      alter table public.quel_credits
        rename constraint quel_credits_quel_member_id_not_null to quel_credits_user_id_not_null;
    end if;
  end if;
  if exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'public.quel_member'::regclass and attname = 'opening_balance' and atttypid = 'integer'::regtype
  ) then
    alter table public.quel_member alter column opening_balance type bigint;
  end if;
  for v_key in
    select conrelid::regclass as ours, conname from pg_catalog.pg_constraint
    where contype = 'f' and confrelid = 'public.quel_production_jobs'::regclass and confdeltype = 'a'
      and conrelid in (
        'public.quel_job_stages'::regclass, 'public.quel_job_runs'::regclass, 'public.quel_credit_holds'::regclass)
  loop
    execute format('alter table %s drop constraint %I, add constraint %2$I foreign key (job_id)'
      ' references public.quel_production_jobs (job_id) on delete cascade', v_key.ours, v_key.conname);
  end loop;
end
$$;
alter table public.quel_credits add column if not exists org_id uuid;
alter table public.quel_production_jobs add column if not exists order_type text;
create index if not exists quel_production_jobs_page_of_all
  on public.quel_production_jobs (coalesce(created_at, 'epoch'), job_id);
create index if not exists quel_production_jobs_page_of_user
  on public.quel_production_jobs (quel_member_id, coalesce(created_at, 'epoch'), job_id);
drop index if exists public.quel_production_jobs_page;
drop index if exists public.quel_production_jobs_page_of_member;
drop function if exists public.darkroom_charge(uuid, uuid, integer, uuid, integer, text);

-- The state of a job in our words. Whether front ends or we have cancelled it, and with which word, makes no difference.
create or replace function public.darkroom_status(p_status text) returns text
language sql immutable set search_path = '' as $$
  select case when p_status = 'user_cancelled' then 'cancelled' else p_status end
$$;

-- How a column says one of our words; null where it has none.
create or replace function public.darkroom_word(p_subject text, p_word text) returns text
language sql stable set search_path = '' as $$
  select stored from public.quel_words where subject = p_subject and word = p_word
$$;

-- A second word of a column that means the same.
create or replace function public.darkroom_other_word(p_subject text, p_word text) returns text
language sql stable set search_path = '' as $$
  select nullif(other.stored, own.stored)
  from public.quel_words as own join public.quel_words as other
    on other.subject = own.subject and other.word = 'user_' || own.word
  where own.subject = p_subject and own.word = p_word
$$;

-- Learn which words the columns take: the first of those that mean the same. An enum has labels; a text takes what no
-- check on it alone excludes. Again whenever a check is changed.
create or replace function public.darkroom_learn_words() returns void
language sql set search_path = '' as $$
  with wanted (subject, "table", word, candidates) as (values
    ('job_status', 'quel_production_jobs', 'pending', '{pending}'::text[]),
    ('job_status', 'quel_production_jobs', 'processing', '{processing}'),
    ('job_status', 'quel_production_jobs', 'completed', '{completed}'),
    ('job_status', 'quel_production_jobs', 'failed', '{failed}'),
    ('job_status', 'quel_production_jobs', 'cancelled', '{cancelled,user_cancelled}'),
    ('job_status', 'quel_production_jobs', 'user_cancelled', '{user_cancelled,cancelled}'),
    ('production_status', 'quel_production_photo', 'pending', '{pending}'),
    ('production_status', 'quel_production_photo', 'processing', '{processing}'),
    ('production_status', 'quel_production_photo', 'completed', '{completed}'),
    ('production_status', 'quel_production_photo', 'failed', '{failed}'),
    ('production_status', 'quel_production_photo', 'cancelled', '{cancelled,user_cancelled}'),
    ('production_status', 'quel_production_photo', 'user_cancelled', '{user_cancelled,cancelled}'),
    ('transaction_type', 'quel_credits', 'DEDUCT', '{DEDUCT}'),
    ('transaction_type', 'quel_credits', 'GRANT', '{GRANT,purchase}')
  ), held as (
    select wanted.*, attribute.attrelid, attribute.attnum, attribute.atttypid, type.typtype
    from wanted join pg_catalog.pg_attribute as attribute
      on attribute.attrelid = ('public.' || "table")::pg_catalog.regclass and attribute.attname = subject
    join pg_catalog.pg_type as type on type.oid = attribute.atttypid
  )
  insert into public.quel_words (subject, word, stored)
  select subject, word, (
    select candidate from unnest(candidates) with ordinality as listed (candidate, place)
    where (held.typtype <> 'e' or exists (
        select from pg_catalog.pg_enum where enumtypid = held.atttypid and enumlabel = candidate))
      and not exists (
        select from pg_catalog.pg_constraint
        where conrelid = held.attrelid and contype = 'c' and conkey = array[held.attnum]
          and pg_catalog.pg_get_constraintdef(oid) ~ $pattern$= ANY|= '$pattern$
          and strpos(pg_catalog.pg_get_constraintdef(oid), quote_literal(candidate)) = 0)
    order by place limit 1)
  from held
  on conflict (subject, word) do update set stored = excluded.stored
  where quel_words.stored is distinct from excluded.stored
$$;

-- Insert a row with those of the values that the table has columns for, each in the type that the column has. Answers
-- whether it was inserted: a row with the same key stays as it is.
create or replace function public.darkroom_insert(p_table text, p_row jsonb) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_columns text;
  v_column text;
  v_rows integer;
begin
  select string_agg(format('%I', attname), ', ') into v_columns from pg_catalog.pg_attribute
  where attrelid = ('public.' || p_table)::regclass and attnum > 0 and not attisdropped and attgenerated = ''
    and p_row->attname::text <> 'null';
  execute format(
    'insert into public.%I (%s) select %2$s from jsonb_populate_record(null::public.%1$I, $1) on conflict do nothing',
    p_table, v_columns) using p_row;
  get diagnostics v_rows = row_count;
  return v_rows > 0;
exception when not_null_violation then
  get stacked diagnostics v_column = column_name;
  raise sqlstate 'PT422' using message = format(
    '%s.%s must have a value that Darkroom does not know; create the row in your application first', p_table, v_column);
end
$$;

-- Insert a job's row in the shape that the checks of its table allow: its type, or else the nearest one, and the place
-- in a stage or in a batch that they ask for. The first attempt is the one for our own tables.
create or replace function public.darkroom_insert_job(p_row jsonb) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_type text;
  v_place jsonb;
  v_constraint text;
begin
  foreach v_type in array array[p_row->>'job_type', 'pipeline_stage', 'simple_general', 'single_batch'] loop
    foreach v_place in array '{"{}", "{\"batch_index\": 0}", "{\"stage_index\": 0}"}'::jsonb[] loop
      begin
        return public.darkroom_insert('quel_production_jobs', p_row || v_place || jsonb_build_object(
          'job_type', v_type, 'order_type', nullif(p_row->>'job_type', v_type)));
      exception when check_violation then
        get stacked diagnostics v_constraint = constraint_name;
      end;
    end loop;
  end loop;
  raise sqlstate 'PT422' using message = format(
    'the check %s of quel_production_jobs allows no row for this order; insert the row in your application',
    v_constraint);
end
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
      'production_id', v_production, 'quel_member_id', p_job->'user_id',
      'production_name', left(coalesce(p_job#>>'{document,name}', p_job->>'job_type'), 120),
      'production_status', 'pending', 'pipeline_type', p_job->'job_type', 'total_quantity', p_job->'total_images'));
  end if;
  v_stored := public.darkroom_insert_job(jsonb_build_object(
    'job_id', p_job->'job_id', 'job_type', p_job->'job_type', 'job_status', 'pending',
    'quel_member_id', p_job->'user_id', 'production_id', v_production, 'job_input_data', p_job->'document',
    'total_images', p_job->'total_images', 'priority', p_job->'priority', 'webhook_url', p_job->'webhook_url',
    'created_at', v_now, 'updated_at', v_now));
  if not v_stored and p_job->>'production_id' is null then
    delete from public.quel_production_photo where production_id = v_production;
  end if;
  return v_stored;
end
$$;

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

-- A member's rows of the journal, newest first; those of an organisation's credits are not theirs.
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

-- Set aside what the missing images cost; gives the reason when the balance does not cover it.
create or replace function public.darkroom_set_hold(p_job_id uuid) returns text
language plpgsql set search_path = '' as $$
declare
  v_user uuid;
  v_price integer;
  v_balance bigint;
  v_missing bigint;
  v_others bigint;
  v_need bigint;
  v_covered boolean;
begin
  select quel_member_id, coalesce(unit_price, 0) into v_user, v_price
  from public.quel_production_jobs where job_id = p_job_id;
  if v_user is null then
    return null;
  end if;
  -- The member's row is locked before the holds are added up: two jobs that open at once see each other.
  select coalesce(quel_member_credit, 0) into v_balance
  from public.quel_member where quel_member_id = v_user for no key update;
  if not found then
    return format('user %s has no member row; `starter.py credits grant %s N` creates one', v_user, v_user);
  end if;
  select coalesce(sum(greatest(0, target - delivered_images)), 0) into v_missing
  from public.quel_job_stages where job_id = p_job_id;
  select coalesce(sum(amount), 0) into v_others from public.quel_credit_holds
  where quel_member_id = v_user and released_at is null and job_id <> p_job_id;
  v_need := v_missing * v_price;
  v_covered := v_need <= v_balance - v_others;
  insert into public.quel_credit_holds (job_id, quel_member_id, amount)
  values (p_job_id, v_user, case when v_covered then v_need else 0 end)
  on conflict (job_id) do update set amount = excluded.amount, released_at = null;
  if v_covered then
    return null;
  end if;
  return format('insufficient credits: need %s, available %s', v_need, v_balance - v_others);
end
$$;

-- Take the price from balance and hold; gives the reason when they do not cover it.
create or replace function public.darkroom_charge(
  p_job_id uuid, p_user uuid, p_price integer, p_production_id uuid, p_attach_id bigint, p_key text
) returns text
language plpgsql set search_path = '' as $$
declare
  v_balance bigint;
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
    user_id, transaction_type, amount, balance_after, attach_idx, production_idx, job_id,
    idempotency_key, created_at)
  values (
    p_user, 'DEDUCT', -p_price, v_balance - p_price, p_attach_id, p_production_id, p_job_id, p_key,
    clock_timestamp());
  update public.quel_member set quel_member_credit = v_balance - p_price where quel_member_id = p_user;
  update public.quel_credit_holds set amount = amount - p_price where job_id = p_job_id;
  return null;
end
$$;

-- Release what is still held of jobs that have ended; gives the jobs that had such a hold.
create or replace function public.darkroom_release_ended_holds() returns jsonb
language sql security definer set search_path = '' as $$
  with released as (
    update public.quel_credit_holds as hold set amount = 0, released_at = clock_timestamp()
    where hold.released_at is null and exists (
      select 1 from public.quel_production_jobs as job
      where job.job_id = hold.job_id and job.job_status::text in ('completed', 'failed', 'cancelled', 'user_cancelled'))
    returning hold.job_id
  )
  select coalesce(jsonb_agg(job_id), '[]') from released
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
    where job_status::text in ('completed', 'failed', 'cancelled', 'user_cancelled')
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
    where released_at is null and job_status::text in ('completed', 'failed', 'cancelled', 'user_cancelled')
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

select public.darkroom_learn_words();

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127140000') on conflict do nothing;

notify pgrst, 'reload schema';
