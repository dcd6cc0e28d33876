-- The tables of spec §8. On a database that has the quel_ tables already this only adds what is missing: no column,
-- constraint, default, policy, grant or value that is there is changed, and running it again does nothing.

-- Two who migrate at once take turns, file by file.
select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- The bodies of functions are checked when the newest file makes them: those of the files between were written for the
-- types of our own tables, and not one of them is left in the end.
set check_function_bodies = off;

-- Tables of a shape that cannot be adopted stop this file before it changes anything. `darkroom doctor --database` asks
-- the query between the two marks.
do $$
declare
  v_faults text;
begin
  if to_regclass('public.quel_schema_versions') is not null then
    return;
  end if;
  select string_agg(format('%s.%s: found %s, needed %s', fault."table", fault."column", fault.found, fault.needed),
    '; ' order by fault.place) into v_faults
  from (
    -- shape: begin
    with needed (place, "table", "column", kinds, key, required) as (values
      (1, 'quel_member', 'quel_member_id', '{uuid}'::text[], true, true),
      (2, 'quel_member', 'quel_member_credit', '{integer,bigint}', false, false),
      (3, 'quel_production_photo', 'production_id', '{uuid}', true, true),
      (4, 'quel_production_photo', 'quel_member_id', '{uuid}', false, false),
      (5, 'quel_production_photo', 'production_status', '{text,character varying,enum}', false, false),
      (6, 'quel_production_photo', 'attach_ids', '{jsonb}', false, false),
      (7, 'quel_production_photo', 'generated_image_count', '{integer,bigint}', false, false),
      (8, 'quel_production_jobs', 'job_id', '{uuid}', true, true),
      (9, 'quel_production_jobs', 'job_status', '{text,character varying,enum}', false, true),
      (10, 'quel_production_jobs', 'job_type', '{text,character varying}', false, false),
      (11, 'quel_production_jobs', 'quel_member_id', '{uuid}', false, false),
      (12, 'quel_production_jobs', 'production_id', '{uuid}', false, false),
      (13, 'quel_production_jobs', 'job_input_data', '{jsonb}', false, false),
      (14, 'quel_production_jobs', 'total_images', '{integer,bigint}', false, false),
      (15, 'quel_production_jobs', 'completed_images', '{integer,bigint}', false, false),
      (16, 'quel_production_jobs', 'failed_images', '{integer,bigint}', false, false),
      (17, 'quel_production_jobs', 'generated_attach_ids', '{jsonb}', false, false),
      (18, 'quel_production_jobs', 'created_at', '{timestamp with time zone}', false, false),
      (19, 'quel_attach', 'attach_id', '{integer,bigint}', true, true),
      (20, 'quel_attach', 'attach_file_size', '{integer,bigint}', false, false),
      (21, 'quel_credits', 'id', '{integer,bigint,uuid}', true, false),
      (22, 'quel_credits', 'user_id', '{uuid}', false, true),
      (23, 'quel_credits', 'transaction_type', '{text,character varying}', false, false),
      (24, 'quel_credits', 'amount', '{integer,bigint}', false, false),
      (25, 'quel_credits', 'balance_after', '{integer,bigint}', false, false),
      (26, 'quel_credits', 'attach_idx', '{integer,bigint}', false, false),
      (27, 'quel_credits', 'production_idx', '{uuid}', false, false),
      (28, 'quel_production_photo', 'org_id', '{uuid}', false, false),
      (29, 'quel_production_jobs', 'org_id', '{uuid}', false, false),
      (30, 'quel_credits', 'org_id', '{uuid}', false, false),
      (31, 'quel_credits', 'used_by_member_id', '{uuid}', false, false),
      (32, 'quel_organization', 'org_id', '{uuid}', true, true),
      (33, 'quel_organization', 'org_name', '{text,character varying}', false, true),
      (34, 'quel_organization', 'org_credit', '{integer,bigint}', false, true),
      (35, 'quel_organization', 'owner_id', '{uuid}', false, true),
      (36, 'quel_organization', 'org_status', '{text,character varying,enum}', false, true),
      (37, 'quel_organization_member', 'org_id', '{uuid}', false, true),
      (38, 'quel_organization_member', 'member_id', '{uuid}', false, true),
      (39, 'quel_organization_member', 'status', '{text,character varying,enum}', false, true),
      (40, 'quel_production_jobs', 'started_at', '{timestamp with time zone}', false, false),
      (41, 'quel_production_jobs', 'completed_at', '{timestamp with time zone}', false, false),
      (42, 'quel_production_jobs', 'updated_at', '{timestamp with time zone}', false, false),
      (43, 'quel_production_jobs', 'retry_count', '{integer,bigint}', false, false)
    ), there as (
      select needed.*, class.oid as class_id, class.relkind, attribute.attnum, type.typtype, type.oid as type_id,
        pg_catalog.format_type(attribute.atttypid, attribute.atttypmod) as type
      from needed
      join pg_catalog.pg_class as class on class.relname = needed."table"
        and class.relnamespace = 'public'::pg_catalog.regnamespace
      left join pg_catalog.pg_attribute as attribute on attribute.attrelid = class.oid
        and attribute.attname = needed."column" and not attribute.attisdropped
      left join pg_catalog.pg_type as type on type.oid = attribute.atttypid
    ), words as (
      select there.*, word from there, unnest('{pending,processing,completed,failed}'::text[]) as word
      where there."column" = 'job_status'
      union all
      select there.*, 'DEDUCT' from there where there."column" = 'transaction_type'
    ), unknown as (
      -- Rows of these two tables are ours to insert; a trigger may give a value that we do not know.
      select 44 as place, class.relname as "table", attribute.attname as "column"
      from pg_catalog.pg_class as class
      join pg_catalog.pg_attribute as attribute on attribute.attrelid = class.oid and attribute.attnum > 0
      where class.relnamespace = 'public'::pg_catalog.regnamespace and class.relname in ('quel_attach', 'quel_credits')
        and attribute.attnotnull and not attribute.attisdropped and not attribute.atthasdef
        and attribute.attidentity = '' and attribute.attname not in (
          'user_id', 'transaction_type', 'amount', 'balance_after', 'created_at', 'attach_original_name',
          'attach_file_name', 'attach_file_path', 'attach_file_size', 'attach_file_type', 'attach_directory',
          'attach_storage_type')
        and not exists (
          select from pg_catalog.pg_trigger as trigger
          where trigger.tgrelid = class.oid and not trigger.tgisinternal and trigger.tgtype & 6 = 6)
    )
    select place, "table", "column", 'a view or another kind of relation' as found, 'a table' as needed
    from there where relkind not in ('r', 'p') and key
    union all
    select place, "table", "column", 'no such column', array_to_string(kinds, ' or ')
    from there where required and type is null
    union all
    select place, "table", "column", type, array_to_string(kinds, ' or ')
    from there
    where type is not null and regexp_replace(type, '\(.*\)', '') <> all (kinds)
      and not (typtype = 'e' and 'enum' = any (kinds))
    union all
    select place, "table", "column", 'no primary key and no unique constraint on it', 'a primary key'
    from there
    where key and type is not null and not exists (
      select from pg_catalog.pg_index as index
      where index.indrelid = class_id and index.indisunique and index.indpred is null and index.indnkeyatts = 1
        and index.indkey[0] = attnum)
    union all
    select place, "table", "column", 'an enum without the word ' || word, 'pending, processing, completed and failed'
    from words
    where word <> 'DEDUCT' and typtype = 'e' and not exists (
      select from pg_catalog.pg_enum as label where label.enumtypid = type_id and label.enumlabel = word)
    union all
    select place, "table", "column", 'a required column without a default', 'a default' from unknown
    union all
    select place, "table", "column", 'a check without the word ' || word,
      case when word = 'DEDUCT' then word else 'pending, processing, completed and failed' end
    from words
    where exists (
      select from pg_catalog.pg_constraint as rule
      where rule.conrelid = class_id and rule.contype = 'c' and rule.conkey = array[attnum]
        and pg_catalog.pg_get_constraintdef(rule.oid) ~ $pattern$= ANY|\mIN\M|= '$pattern$
        and strpos(pg_catalog.pg_get_constraintdef(rule.oid), quote_literal(word)) = 0)
    -- shape: end
  ) as fault;
  if v_faults is not null then
    raise exception 'Darkroom cannot adopt these tables: %', v_faults
      using hint = 'Nothing was changed. docs/moving.md tells which shapes can be adopted.';
  end if;
end
$$;

-- The tables that were there before us: of these, row-level security, policies, grants and defaults stay as they are.
do $$
begin
  if to_regclass('public.quel_adopted_tables') is null then
    create table public.quel_adopted_tables (table_name text primary key);
    if to_regclass('public.quel_schema_versions') is null then
      insert into public.quel_adopted_tables
      select relname from pg_catalog.pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname in (
        'quel_member', 'quel_production_photo', 'quel_production_jobs', 'quel_attach', 'quel_credits', 'quel_books',
        'quel_organization', 'quel_organization_member');
    end if;
  end if;
end
$$;
alter table public.quel_adopted_tables enable row level security;
revoke all on public.quel_adopted_tables from public, anon, authenticated;
grant all on public.quel_adopted_tables to service_role;

create table if not exists public.quel_schema_versions (
  version text primary key,
  applied_at timestamptz not null default now()
);
comment on table public.quel_schema_versions is
  'Darkroom''s migrations. Pending jobs from before the first of them belong to whoever ran jobs then.';

create table if not exists public.quel_member (
  quel_member_id uuid primary key,
  quel_member_credit integer not null default 0 check (quel_member_credit >= 0),
  created_at timestamptz default now()
);
alter table public.quel_member add column if not exists opening_balance bigint;

create table if not exists public.quel_production_photo (
  production_id uuid primary key default gen_random_uuid(),
  quel_member_id uuid,
  production_status text,
  attach_ids jsonb default '[]',
  generated_image_count integer default 0
);
alter table public.quel_production_photo
  add column if not exists quel_member_id uuid,
  add column if not exists production_status text,
  add column if not exists attach_ids jsonb default '[]',
  add column if not exists generated_image_count integer default 0,
  add column if not exists updated_at timestamptz;

create table if not exists public.quel_production_jobs (
  job_id uuid primary key default gen_random_uuid(),
  job_status text not null default 'pending'
    check (job_status in ('pending', 'processing', 'completed', 'failed', 'cancelled'))
);
alter table public.quel_production_jobs
  add column if not exists job_type text,
  add column if not exists quel_member_id uuid,
  add column if not exists production_id uuid,
  add column if not exists job_input_data jsonb,
  add column if not exists total_images integer default 0,
  add column if not exists completed_images integer default 0,
  add column if not exists failed_images integer default 0,
  add column if not exists generated_attach_ids jsonb default '[]',
  add column if not exists error_message text,
  add column if not exists retry_count integer default 0,
  add column if not exists created_at timestamptz default now(),
  add column if not exists started_at timestamptz,
  add column if not exists completed_at timestamptz,
  add column if not exists updated_at timestamptz default now(),
  add column if not exists priority integer not null default 3,
  add column if not exists provider text,
  add column if not exists book_id uuid,
  add column if not exists unit_price integer,
  add column if not exists max_top_ups integer,
  add column if not exists max_credits integer,
  add column if not exists current_run_id text,
  add column if not exists paused boolean not null default false,
  add column if not exists paused_by_user boolean not null default false,
  add column if not exists pause_reason text,
  add column if not exists quota_until timestamptz,
  add column if not exists cancel_requested boolean not null default false,
  add column if not exists cancel_reason text,
  add column if not exists failing boolean not null default false,
  add column if not exists control_version integer not null default 0,
  add column if not exists refreshed_at timestamptz not null default 'epoch';
create index if not exists quel_production_jobs_newest
  on public.quel_production_jobs (created_at desc nulls last);
create index if not exists quel_production_jobs_newest_of_status
  on public.quel_production_jobs (job_status, created_at desc nulls last);
create index if not exists quel_production_jobs_member on public.quel_production_jobs (quel_member_id, created_at);
create index if not exists quel_production_jobs_prefix
  on public.quel_production_jobs ((job_id::text) text_pattern_ops);

create table if not exists public.quel_job_stages (
  job_id uuid not null references public.quel_production_jobs (job_id),
  stage_index integer not null,
  label text not null,
  prompt text not null,
  quantity integer not null,
  target integer not null,
  aspect_ratio text not null,
  reference_images jsonb not null,
  delivered_images integer not null default 0 check (delivered_images <= quantity),
  stage_status text not null default 'waiting',
  reason text,
  primary key (job_id, stage_index)
);

create table if not exists public.quel_attach (
  attach_id integer generated by default as identity primary key
);
alter table public.quel_attach
  add column if not exists attach_original_name text,
  add column if not exists attach_file_name text,
  add column if not exists attach_file_path text,
  add column if not exists attach_file_size integer,
  add column if not exists attach_file_type text,
  add column if not exists attach_directory text,
  add column if not exists attach_storage_type text,
  add column if not exists job_id uuid,
  add column if not exists stage_index integer,
  add column if not exists ordinal integer,
  add column if not exists quel_member_id uuid,
  add column if not exists sha256 text,
  add column if not exists delivered_at timestamptz,
  add column if not exists delivered_run text,
  add column if not exists created_at timestamptz default now();
create unique index if not exists quel_attach_image
  on public.quel_attach (job_id, stage_index, ordinal) where job_id is not null;
create index if not exists quel_attach_delivered
  on public.quel_attach (job_id, attach_id) where delivered_at is not null;
create index if not exists quel_attach_all_delivered on public.quel_attach (attach_id) where delivered_at is not null;
create index if not exists quel_attach_content on public.quel_attach (sha256) where job_id is null;
create index if not exists quel_attach_member on public.quel_attach (quel_member_id);

create table if not exists public.quel_credits (
  id bigint generated by default as identity primary key,
  user_id uuid not null
);
alter table public.quel_credits
  add column if not exists id bigint generated by default as identity,
  add column if not exists transaction_type text,
  add column if not exists amount integer,
  add column if not exists balance_after integer,
  add column if not exists attach_idx integer,
  add column if not exists production_idx uuid,
  add column if not exists org_id uuid,
  add column if not exists job_id uuid,
  add column if not exists idempotency_key text,
  add column if not exists created_at timestamptz default now();
create unique index if not exists quel_credits_idempotency_key on public.quel_credits (idempotency_key);
create index if not exists quel_credits_newest
  on public.quel_credits (user_id, created_at desc nulls last, id desc);

create table if not exists public.quel_credit_holds (
  job_id uuid primary key references public.quel_production_jobs (job_id),
  quel_member_id uuid not null,
  amount integer not null check (amount >= 0),
  released_at timestamptz
);
create index if not exists quel_credit_holds_open
  on public.quel_credit_holds (quel_member_id) where released_at is null;

create table if not exists public.quel_job_runs (
  run_id text primary key,
  job_id uuid not null references public.quel_production_jobs (job_id),
  started_at timestamptz not null,
  opened_at timestamptz not null,
  closed_at timestamptz,
  failure text,
  released integer not null default 0,
  receipt jsonb
);
create index if not exists quel_job_runs_job on public.quel_job_runs (job_id, started_at);

create table if not exists public.quel_generation_attempts (
  attempt_id bigint generated always as identity,
  call_id uuid primary key,
  job_id uuid not null,
  stage_index integer not null,
  ordinal integer not null,
  run_id text not null,
  round integer not null,
  attempt integer not null default 1,
  provider text not null,
  outcome text,
  reason text,
  final boolean not null default false,
  seconds double precision,
  started_at timestamptz not null
);
create index if not exists quel_generation_attempts_image
  on public.quel_generation_attempts (job_id, stage_index, ordinal);

-- What a member had before Darkroom counted: from here on, balance = opening balance + journal (spec §4).
-- Triggers of the table sleep meanwhile: one that stamps updated_at would change every member's row.
do $$
declare
  v_triggers name[];
  v_trigger name;
begin
  if not exists (select 1 from public.quel_member where opening_balance is null) then
    return;
  end if;
  select coalesce(array_agg(tgname), '{}') into v_triggers from pg_catalog.pg_trigger
  where tgrelid = 'public.quel_member'::regclass and not tgisinternal and tgenabled = 'O';
  foreach v_trigger in array v_triggers loop
    execute format('alter table public.quel_member disable trigger %I', v_trigger);
  end loop;
  update public.quel_member as member
  set opening_balance = coalesce(member.quel_member_credit, 0) - coalesce(
    (select sum(credit.amount) from public.quel_credits as credit
     where credit.user_id = member.quel_member_id and credit.org_id is null), 0)
  where opening_balance is null;
  foreach v_trigger in array v_triggers loop
    execute format('alter table public.quel_member enable trigger %I', v_trigger);
  end loop;
end
$$;

create or replace function public.darkroom_set_opening_balance() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.opening_balance := coalesce(new.opening_balance, new.quel_member_credit, 0);
  return new;
end
$$;
create or replace trigger darkroom_opening_balance before insert on public.quel_member
  for each row execute function public.darkroom_set_opening_balance();

-- Who may do what, in the transaction that makes the tables: they are open to nobody in between. Darkroom works through
-- functions, with the service role's key. A signed-in user reads what is theirs and may put an order in. A new project
-- gives every right on new tables to everybody who can sign in, and to those who cannot.
do $$
declare
  v_table text;
  v_mine text := '(quel_member_id = (select auth.uid()))';
  v_delivered text := '(quel_member_id = (select auth.uid()) and (job_id is null or delivered_at is not null))';
  v_order text := $order$(
    quel_member_id = (select auth.uid()) and job_status = 'pending'
    and (production_id is null or exists (
      select 1 from public.quel_production_photo as production
      where production.production_id = quel_production_jobs.production_id
        and production.quel_member_id = (select auth.uid()))))$order$;
  v_own text;
begin
  foreach v_table in array '{quel_schema_versions, quel_member, quel_production_photo, quel_production_jobs,
    quel_job_stages, quel_attach, quel_credits, quel_credit_holds, quel_job_runs, quel_generation_attempts}'::text[]
  loop
    continue when exists (select from public.quel_adopted_tables where table_name = v_table);
    execute format('alter table public.%I enable row level security', v_table);
    execute format('revoke all on public.%I from public, anon, authenticated', v_table);
    execute format('grant all on public.%I to service_role', v_table);
    -- Attachments that were not delivered are shown nowhere (spec §3).
    v_own := case v_table
      when 'quel_production_photo' then v_mine when 'quel_production_jobs' then v_mine when 'quel_attach' then v_delivered
      when 'quel_credits' then '(user_id = (select auth.uid()))' end;
    continue when v_own is null;
    execute format('grant select on public.%I to authenticated', v_table);
    execute format('drop policy if exists darkroom_read_own on public.%I', v_table);
    execute format(
      'create policy darkroom_read_own on public.%I for select to authenticated using %s', v_table, v_own);
    -- Permissive policies add up: this one holds back those that somebody adds later.
    execute format('drop policy if exists darkroom_only_own on public.%I', v_table);
    if v_table <> 'quel_production_jobs' then
      execute format('create policy darkroom_only_own on public.%I as restrictive for all to anon, authenticated using %s',
        v_table, v_own);
      continue;
    end if;
    -- An order from a front end: the user's own, pending, with a production of their own or none. It inserts no more
    -- than type, document and production; the rest must come by itself.
    alter table public.quel_production_jobs
      alter column job_id set default gen_random_uuid(),
      alter column job_status set default 'pending',
      alter column created_at set default now();
    grant insert (quel_member_id, job_status, job_type, job_input_data, production_id)
      on public.quel_production_jobs to authenticated;
    drop policy if exists darkroom_order on public.quel_production_jobs;
    execute 'create policy darkroom_order on public.quel_production_jobs for insert to authenticated with check '
      || v_order;
    execute 'create policy darkroom_only_own on public.quel_production_jobs as restrictive for all'
      ' to anon, authenticated using ' || v_own || ' with check ' || v_order;
  end loop;
end
$$;

-- The clock, not the start of the transaction: a job inserted while this waited for its locks is of before.
insert into public.quel_schema_versions (version, applied_at) values ('20261121090000', clock_timestamp())
on conflict do nothing;
