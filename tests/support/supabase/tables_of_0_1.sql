-- The first migration as Darkroom 0.1 and 0.2 applied it, for tests of databases that have it. The file that is applied
-- today also runs on tables that were there before.

-- The tables of spec §8. On a project that has the quel_ tables already this only adds what is missing:
-- no column, constraint or value that is there is changed, and running it again does nothing.

-- Two who migrate at once take turns, file by file.
select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

create table if not exists public.quel_schema_versions (
  version text primary key,
  applied_at timestamptz not null default now()
);
comment on table public.quel_schema_versions is
  'Darkroom''s migrations. Pending jobs from before the first of them belong to whoever ran jobs then.';

create table if not exists public.quel_member (
  quel_member_id uuid primary key,
  quel_member_credit integer not null default 0 check (quel_member_credit >= 0)
);
alter table public.quel_member
  add column if not exists opening_balance integer,
  add column if not exists created_at timestamptz default now();

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
-- A front end inserts no more than type, document and production; the rest must come by itself.
alter table public.quel_production_jobs
  alter column job_id set default gen_random_uuid(),
  alter column job_status set default 'pending',
  alter column created_at set default now();
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
  quel_member_id uuid not null
);
alter table public.quel_credits
  add column if not exists id bigint generated by default as identity,
  add column if not exists transaction_type text,
  add column if not exists amount integer,
  add column if not exists balance_after integer,
  add column if not exists attach_idx integer,
  add column if not exists production_idx uuid,
  add column if not exists job_id uuid,
  add column if not exists idempotency_key text,
  add column if not exists created_at timestamptz default now();
create unique index if not exists quel_credits_idempotency_key on public.quel_credits (idempotency_key);
create index if not exists quel_credits_newest
  on public.quel_credits (quel_member_id, created_at desc nulls last, id desc);

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
     where credit.quel_member_id = member.quel_member_id), 0)
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
-- functions, with the service role's key. A signed-in user reads what is theirs and may put an order in.
alter table public.quel_schema_versions enable row level security;
alter table public.quel_member enable row level security;
alter table public.quel_production_photo enable row level security;
alter table public.quel_production_jobs enable row level security;
alter table public.quel_job_stages enable row level security;
alter table public.quel_attach enable row level security;
alter table public.quel_credits enable row level security;
alter table public.quel_credit_holds enable row level security;
alter table public.quel_job_runs enable row level security;
alter table public.quel_generation_attempts enable row level security;

-- A new project gives every right on new tables to everybody who can sign in, and to those who cannot.
revoke all on
  public.quel_schema_versions, public.quel_member, public.quel_production_photo, public.quel_production_jobs,
  public.quel_job_stages, public.quel_attach, public.quel_credits, public.quel_credit_holds,
  public.quel_job_runs, public.quel_generation_attempts
from public, anon, authenticated;
grant all on
  public.quel_schema_versions, public.quel_member, public.quel_production_photo, public.quel_production_jobs,
  public.quel_job_stages, public.quel_attach, public.quel_credits, public.quel_credit_holds,
  public.quel_job_runs, public.quel_generation_attempts
to service_role;

grant select on
  public.quel_production_photo, public.quel_production_jobs, public.quel_attach, public.quel_credits
to authenticated;
grant insert (quel_member_id, job_status, job_type, job_input_data, production_id)
  on public.quel_production_jobs to authenticated;

drop policy if exists darkroom_read_own on public.quel_production_photo;
create policy darkroom_read_own on public.quel_production_photo
  for select to authenticated using (quel_member_id = (select auth.uid()));

drop policy if exists darkroom_read_own on public.quel_production_jobs;
create policy darkroom_read_own on public.quel_production_jobs
  for select to authenticated using (quel_member_id = (select auth.uid()));

-- Attachments that were not delivered are shown nowhere (spec §3).
drop policy if exists darkroom_read_own on public.quel_attach;
create policy darkroom_read_own on public.quel_attach
  for select to authenticated
  using (quel_member_id = (select auth.uid()) and (job_id is null or delivered_at is not null));

drop policy if exists darkroom_read_own on public.quel_credits;
create policy darkroom_read_own on public.quel_credits
  for select to authenticated using (quel_member_id = (select auth.uid()));

-- An order from a front end: the user's own, pending, with a production of their own or none.
drop policy if exists darkroom_order on public.quel_production_jobs;
create policy darkroom_order on public.quel_production_jobs
  for insert to authenticated
  with check (
    quel_member_id = (select auth.uid()) and job_status = 'pending'
    and (production_id is null or exists (
      select 1 from public.quel_production_photo as production
      where production.production_id = quel_production_jobs.production_id
        and production.quel_member_id = (select auth.uid()))));

-- Policies of before that would let more through than these: permissive ones add up, so these hold them back.
drop policy if exists darkroom_only_own on public.quel_production_jobs;
create policy darkroom_only_own on public.quel_production_jobs as restrictive
  for all to anon, authenticated
  using (quel_member_id = (select auth.uid()))
  with check (
    quel_member_id = (select auth.uid()) and job_status = 'pending'
    and (production_id is null or exists (
      select 1 from public.quel_production_photo as production
      where production.production_id = quel_production_jobs.production_id
        and production.quel_member_id = (select auth.uid()))));
drop policy if exists darkroom_only_own on public.quel_production_photo;
create policy darkroom_only_own on public.quel_production_photo as restrictive
  for all to anon, authenticated using (quel_member_id = (select auth.uid()));
drop policy if exists darkroom_only_own on public.quel_attach;
create policy darkroom_only_own on public.quel_attach as restrictive
  for all to anon, authenticated
  using (quel_member_id = (select auth.uid()) and (job_id is null or delivered_at is not null));
drop policy if exists darkroom_only_own on public.quel_credits;
create policy darkroom_only_own on public.quel_credits as restrictive
  for all to anon, authenticated using (quel_member_id = (select auth.uid()));

-- The clock, not the start of the transaction: a job inserted while this waited for its locks is of before.
insert into public.quel_schema_versions (version, applied_at) values ('20261121090000', clock_timestamp())
on conflict do nothing;
