-- Every table of Darkroom, with its columns, constraints and indexes; those of money are in 01_tables_of_money.sql. Who
-- may read and write them is in 02_row_level_security.sql.

create table public.quel_schema_versions (
  version text primary key,
  applied_at timestamptz not null default now()
);
comment on table public.quel_schema_versions is
  'Darkroom''s migrations. Pending jobs from before the first of them belong to whoever ran jobs then.';

-- The tables that were there before Darkroom. Of these, row-level security, policies, grants and defaults stay as they
-- are.
create table public.quel_adopted_tables (table_name text primary key);

-- The words for states that the columns of this database take, of ours and, where a column lacks one, of its own;
-- without any, a row keeps what it has.
create table public.quel_words (
  subject text not null,
  word text not null,
  stored text,
  primary key (subject, word)
);

-- A balance is the opening balance and the journal (quel_credits) added up (spec §4). The opening balance is what a
-- member had before Darkroom counted; 40_money.sql fills it for new members.
create table public.quel_member (
  quel_member_id uuid primary key,
  quel_member_credit integer not null default 0 check (quel_member_credit >= 0),
  opening_balance bigint,
  created_at timestamptz default now()
);

-- Who may let an organization pay. An existing deployment's front end keeps both tables; Darkroom reads them, and
-- changes no more than org_credit.
create table public.quel_organization (
  org_id uuid primary key default gen_random_uuid(),
  org_name text not null,
  org_credit bigint default 0 check (org_credit >= 0),
  owner_id uuid not null,
  org_status text not null default 'active',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.quel_organization_member (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.quel_organization (org_id) on delete cascade,
  member_id uuid not null references public.quel_member (quel_member_id) on delete cascade,
  role text not null default 'member',
  status text not null default 'active',
  unique (org_id, member_id)
);
create index quel_organization_member_of on public.quel_organization_member (member_id);

-- What an organization had before Darkroom counted; 42_organizations.sql fills it for new ones.
create table public.quel_organization_opening (
  org_id uuid primary key references public.quel_organization (org_id) on delete cascade,
  opening_balance bigint not null
);

create table public.quel_production_photo (
  production_id uuid primary key default gen_random_uuid(),
  quel_member_id uuid,
  production_status text,
  attach_ids jsonb default '[]',
  generated_image_count integer default 0,
  updated_at timestamptz
);

-- A front end inserts no more than type, document and production; the rest must come by itself.
create table public.quel_production_jobs (
  job_id uuid primary key default gen_random_uuid(),
  job_type text,
  -- What the order is, where a check keeps job_type from saying it.
  order_type text,
  job_status text not null default 'pending'
    check (job_status in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')),
  quel_member_id uuid,
  org_id uuid,
  production_id uuid,
  job_input_data jsonb,
  -- What front ends poll.
  total_images integer default 0,
  completed_images integer default 0,
  failed_images integer default 0,
  generated_attach_ids jsonb default '[]',
  error_message text,
  retry_count integer default 0,
  created_at timestamptz default now(),
  started_at timestamptz,
  completed_at timestamptz,
  updated_at timestamptz default now(),
  -- The terms of the order, kept from the first opening on.
  priority integer not null default 3,
  provider text,
  book_id uuid,
  unit_price integer,
  max_top_ups integer,
  max_credits integer,
  -- Front ends have no right to write it: it comes from the order, after the guard has looked at it.
  webhook_url text,
  -- The run that the job belongs to, and what was asked of it.
  current_run_id text,
  paused boolean not null default false,
  paused_by_user boolean not null default false,
  pause_reason text,
  quota_until timestamptz,
  cancel_requested boolean not null default false,
  cancel_reason text,
  failing boolean not null default false,
  control_version integer not null default 0,
  -- When the counts above were last brought up to date; they may trail by one second (spec §2).
  refreshed_at timestamptz not null default 'epoch',
  -- What its user calls it; nothing depends on it.
  job_name text
);
create index quel_production_jobs_member on public.quel_production_jobs (quel_member_id, created_at);
create index quel_production_jobs_prefix on public.quel_production_jobs ((job_id::text) text_pattern_ops);
create index quel_production_jobs_completed on public.quel_production_jobs (completed_at);
-- Lists of jobs of a status, and of a user. Rows of before Darkroom may lack a time; those stand last.
create index quel_production_jobs_page_of_status
  on public.quel_production_jobs (job_status, coalesce(created_at, 'epoch'), job_id);
create index quel_production_jobs_page_of_member_and_status
  on public.quel_production_jobs (quel_member_id, job_status, coalesce(created_at, 'epoch'), job_id);

create index quel_production_jobs_book on public.quel_production_jobs (book_id) where book_id is not null;
-- Those that are short are few.
create index quel_production_jobs_short
  on public.quel_production_jobs (job_status, coalesce(created_at, 'epoch'), job_id) where failed_images > 0;

-- Who inserted a job's row, and when; rows of before this table have no line. Only the service role reaches it.
create table public.quel_job_inserts (
  job_id uuid primary key references public.quel_production_jobs (job_id) on delete cascade,
  user_id uuid,
  by_user boolean not null,
  inserted_at timestamptz not null
);

-- The stages of an order, normalised; they hold for every restart. Like all that belongs to a job, they go with its row:
-- deployments delete a production, and with it its jobs.
create table public.quel_job_stages (
  job_id uuid not null references public.quel_production_jobs (job_id) on delete cascade,
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
  format text,
  image_size text,
  unit_price integer,
  primary key (job_id, stage_index)
);

create table public.quel_job_runs (
  run_id text primary key,
  job_id uuid not null references public.quel_production_jobs (job_id) on delete cascade,
  started_at timestamptz not null,
  opened_at timestamptz not null,
  closed_at timestamptz,
  failure text,
  released integer not null default 0,
  receipt jsonb
);
create index quel_job_runs_job on public.quel_job_runs (job_id, started_at);
create index quel_job_runs_open on public.quel_job_runs (job_id) where closed_at is null;

-- What clients asked of a job, in order; applied once the job's row says it.
create table public.quel_job_requests (
  job_id uuid not null references public.quel_production_jobs (job_id) on delete cascade,
  number integer not null,
  request text not null check (request in ('cancel', 'pause', 'resume')),
  reason text,
  requested_at timestamptz not null,
  applied_at timestamptz,
  primary key (job_id, number)
);

-- Every call of a provider, written before the call; without an outcome, how it ended is not known.
create table public.quel_generation_attempts (
  attempt_id bigint generated always as identity,
  call_id uuid primary key,
  job_id uuid not null,
  stage_index integer not null,
  ordinal integer not null,
  run_id text not null,
  round integer not null,
  attempt integer not null default 1,
  provider text not null,
  -- Which of its models the provider drew with.
  model text,
  -- Which worker process made the call.
  worker text,
  -- Whose job it is, and the price of its picture: for daily ceilings.
  quel_member_id uuid,
  credits integer,
  outcome text,
  reason text,
  final boolean not null default false,
  seconds double precision,
  -- US dollars that the provider asks for it; null where nobody can tell.
  cost_usd numeric,
  -- What it brought: the bytes as they came, and whether they carried C2PA content credentials.
  source_sha256 text,
  source_media_type text,
  source_c2pa boolean,
  started_at timestamptz not null
);
create index quel_generation_attempts_image on public.quel_generation_attempts (job_id, stage_index, ordinal);
create index quel_generation_attempts_day on public.quel_generation_attempts (started_at);
create index quel_generation_attempts_cost
  on public.quel_generation_attempts (provider, started_at) include (cost_usd, outcome);
create index quel_generation_attempts_member
  on public.quel_generation_attempts (quel_member_id, started_at) where quel_member_id is not null;
create index quel_generation_attempts_round on public.quel_generation_attempts (run_id, stage_index, round);
-- Few calls brought no picture; who watches asks for them again and again.
create index quel_generation_attempts_without_picture
  on public.quel_generation_attempts (job_id, stage_index, ordinal) where outcome is null or outcome <> 'generated';

-- Pictures: a job's images, which count once they are delivered, and without a job what users uploaded.
create table public.quel_attach (
  attach_id integer generated by default as identity primary key,
  attach_original_name text,
  attach_file_name text,
  attach_file_path text,
  attach_file_size integer,
  attach_file_type text,
  attach_directory text,
  attach_storage_type text,
  job_id uuid,
  stage_index integer,
  ordinal integer,
  quel_member_id uuid,
  sha256 text,
  delivered_at timestamptz,
  delivered_run text,
  -- The provider's bytes that the file was made from, and who drew them.
  source_sha256 text,
  source_media_type text,
  source_c2pa boolean,
  source_provider text,
  source_model text,
  created_at timestamptz default now(),
  deleted_at timestamptz
);
-- What makes an image count no more than once.
create unique index quel_attach_image on public.quel_attach (job_id, stage_index, ordinal) where job_id is not null;
create index quel_attach_delivered on public.quel_attach (job_id, attach_id) where delivered_at is not null;
create index quel_attach_all_delivered on public.quel_attach (attach_id) where delivered_at is not null;
create index quel_attach_arrival on public.quel_attach (job_id, delivered_at, attach_id) where delivered_at is not null;
-- Few pictures wait to be settled; who watches asks for them again and again.
create index quel_attach_waiting on public.quel_attach (job_id, stage_index, ordinal)
  where job_id is not null and delivered_at is null;
create index quel_attach_content on public.quel_attach (sha256) where job_id is null;
create index quel_attach_member on public.quel_attach (quel_member_id);
create index quel_attach_uploaded on public.quel_attach (quel_member_id, attach_file_size) where job_id is null;

-- Whose the pictures are that jobs of before Darkroom made, their places in the row's list, and where their files were
-- when they were noted; 33_earlier_pictures.sql fills it.
create table public.quel_earlier_pictures (
  attach_id bigint primary key references public.quel_attach (attach_id) on delete cascade,
  job_id uuid not null references public.quel_production_jobs (job_id) on delete cascade,
  quel_member_id uuid,
  place integer not null,
  path text
);
create index quel_earlier_pictures_of on public.quel_earlier_pictures (job_id, attach_id);
create index quel_earlier_pictures_path on public.quel_earlier_pictures (path);

create table public.quel_books (
  book_id uuid primary key default gen_random_uuid(),
  quel_member_id uuid,
  base_path text not null,
  pipeline_stage text,
  progress_percentage integer,
  cover_image text,
  task_metadata jsonb,
  updated_at timestamptz
);

-- Keys to the HTTP API: of each its hash alone, with which nobody can sign in.
create table public.quel_api_keys (
  key_id uuid primary key,
  quel_member_id uuid not null,
  name text not null,
  operator boolean not null default false,
  key_hash text not null unique,
  created_at timestamptz not null,
  revoked_at timestamptz
);
