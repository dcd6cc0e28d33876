-- The embedded records. The `quel_` tables keep the names and columns of existing deployments (spec §8).
create table if not exists quel_member (
  quel_member_id text primary key,
  quel_member_credit integer not null check (quel_member_credit >= 0),
  opening_balance integer not null default 0,
  created_at text not null
);

create table if not exists quel_organization (
  org_id text primary key,
  org_name text not null,
  org_credit integer not null default 0 check (org_credit >= 0),
  owner_id text not null,
  org_status text not null default 'active',
  created_at text not null
);

create table if not exists quel_organization_member (
  id text primary key,
  org_id text not null references quel_organization (org_id),
  member_id text not null references quel_member (quel_member_id),
  role text not null default 'member',
  status text not null default 'active',
  unique (org_id, member_id)
);
create index if not exists quel_organization_member_of on quel_organization_member (member_id);

-- What an organization had before its journal began.
create table if not exists quel_organization_opening (
  org_id text primary key references quel_organization (org_id) on delete cascade,
  opening_balance integer not null
);
create trigger if not exists darkroom_opening_balance after insert on quel_organization begin
  insert into quel_organization_opening (org_id, opening_balance) values (new.org_id, new.org_credit);
end;

create table if not exists quel_production_photo (
  production_id text primary key,
  quel_member_id text,
  production_status text,
  attach_ids text not null default '[]',
  generated_image_count integer not null default 0,
  updated_at text
);

create table if not exists quel_production_jobs (
  job_id text primary key,
  job_type text,
  job_status text not null default 'pending'
    check (job_status in ('pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')),
  quel_member_id text,
  production_id text,
  total_images integer not null default 0,
  completed_images integer not null default 0,
  failed_images integer not null default 0,
  error_message text,
  retry_count integer not null default 0,
  created_at text not null,
  started_at text,
  completed_at text,
  updated_at text not null,
  priority integer not null default 3,
  provider text,
  book_id text,
  unit_price integer,
  max_top_ups integer,
  max_credits integer,
  current_run_id text,
  paused integer not null default 0,
  paused_by_user integer not null default 0,
  pause_reason text,
  quota_until text,
  cancel_requested integer not null default 0,
  cancel_reason text,
  failing integer not null default 0,
  control_version integer not null default 0,
  refreshed_at real not null default 0,
  webhook_url text,
  org_id text,
  job_name text,
  -- Last, because they are long: SQLite walks over what stands before a column to reach it.
  job_input_data text not null,
  generated_attach_ids text not null default '[]'
);
create index if not exists quel_production_jobs_status on quel_production_jobs (job_status, created_at);
create index if not exists quel_production_jobs_created on quel_production_jobs (created_at);
create index if not exists quel_production_jobs_member on quel_production_jobs (quel_member_id, created_at);
create index if not exists quel_production_jobs_member_status
  on quel_production_jobs (quel_member_id, job_status, created_at);
create index if not exists quel_production_jobs_completed on quel_production_jobs (completed_at, job_id);
create index if not exists quel_production_jobs_book on quel_production_jobs (book_id) where book_id is not null;
create index if not exists quel_production_jobs_short on quel_production_jobs (job_status, created_at)
  where failed_images > 0;

-- What a job is found by: its name and its prompts, each once, in lower case.
create table if not exists quel_job_words (
  job_id text primary key references quel_production_jobs (job_id) on delete cascade,
  words text not null
);

-- Jobs that were deleted: of them numbers, receipts and the journal are left. Files go afterwards, and are gone once
-- that is noted.
create table if not exists quel_deleted_jobs (
  job_id text primary key references quel_production_jobs (job_id) on delete cascade,
  deleted_at text not null,
  -- Of the book whose only job it was.
  cover text,
  files_removed_at text
);
create index if not exists quel_deleted_jobs_unfinished on quel_deleted_jobs (deleted_at)
  where files_removed_at is null;

create table if not exists quel_books (
  book_id text primary key,
  quel_member_id text,
  base_path text not null,
  pipeline_stage text,
  progress_percentage integer,
  cover_image text,
  task_metadata text,
  updated_at text
);

create table if not exists quel_job_stages (
  job_id text not null references quel_production_jobs (job_id),
  stage_index integer not null,
  label text not null,
  prompt text not null,
  quantity integer not null,
  target integer not null,
  aspect_ratio text not null,
  reference_images text not null,
  format text,
  image_size text,
  unit_price integer,
  delivered_images integer not null default 0 check (delivered_images <= quantity),
  stage_status text not null default 'waiting',
  reason text,
  primary key (job_id, stage_index)
);

create table if not exists quel_attach (
  attach_id integer primary key autoincrement,
  attach_original_name text,
  attach_file_name text not null,
  attach_file_path text not null,
  attach_file_size integer not null,
  attach_file_type text not null,
  attach_directory text not null,
  attach_storage_type text not null,
  job_id text,
  stage_index integer,
  ordinal integer,
  quel_member_id text,
  sha256 text,
  delivered_at text,
  delivered_run text,
  -- The provider's bytes that the file was made from, and who drew them.
  source_sha256 text,
  source_media_type text,
  source_c2pa integer,
  source_provider text,
  source_model text,
  deleted_at text,
  created_at text not null
);
create unique index if not exists quel_attach_image on quel_attach (job_id, stage_index, ordinal)
  where job_id is not null;
create index if not exists quel_attach_delivered on quel_attach (job_id, attach_id) where delivered_at is not null;
create index if not exists quel_attach_arrival on quel_attach (job_id, delivered_at, attach_id)
  where delivered_at is not null;
create index if not exists quel_attach_waiting on quel_attach (job_id, stage_index, ordinal)
  where job_id is not null and delivered_at is null;
create index if not exists quel_attach_uploaded on quel_attach (quel_member_id, attach_file_size) where job_id is null;
create index if not exists quel_attach_content on quel_attach (sha256) where job_id is null;

create table if not exists quel_credits (
  id integer primary key autoincrement,
  user_id text not null,
  -- Whose balance changed, where it is an organization's, and whose job it paid.
  org_id text,
  used_by_member_id text,
  transaction_type text not null,
  amount integer not null,
  balance_after integer not null check (balance_after >= 0),
  attach_idx integer,
  production_idx text,
  job_id text,
  idempotency_key text unique,
  created_at text not null
);
create index if not exists quel_credits_member on quel_credits (user_id, id);
create index if not exists quel_credits_organization on quel_credits (org_id, id) where org_id is not null;
create index if not exists quel_credits_job on quel_credits (job_id);

-- A job's hold is also what says who pays for it, from the first opening on: the member, or the organization.
create table if not exists quel_credit_holds (
  job_id text primary key references quel_production_jobs (job_id),
  quel_member_id text not null,
  org_id text,
  amount integer not null check (amount >= 0),
  released_at text
);
create index if not exists quel_credit_holds_open on quel_credit_holds (quel_member_id) where released_at is null;
create index if not exists quel_credit_holds_organization on quel_credit_holds (org_id)
  where org_id is not null and released_at is null;

create table if not exists quel_job_runs (
  run_id text primary key,
  job_id text not null references quel_production_jobs (job_id),
  started_at text not null,
  opened_at text not null,
  closed_at text,
  failure text,
  released integer not null default 0,
  receipt text
);
create index if not exists quel_job_runs_job on quel_job_runs (job_id, started_at);
create index if not exists quel_job_runs_open on quel_job_runs (job_id) where closed_at is null;

-- What clients asked of a job, in order; applied once the job's row says it.
create table if not exists quel_job_requests (
  job_id text not null references quel_production_jobs (job_id),
  number integer not null,
  request text not null check (request in ('cancel', 'pause', 'resume')),
  reason text,
  requested_at text not null,
  applied_at text,
  primary key (job_id, number)
);

create table if not exists quel_generation_attempts (
  call_id text primary key,
  job_id text not null,
  stage_index integer not null,
  ordinal integer not null,
  run_id text not null,
  round integer not null,
  attempt integer not null default 1,
  provider text not null,
  model text,
  worker text,
  -- Whose job it is, and the price of its picture: for daily ceilings.
  quel_member_id text,
  credits integer,
  outcome text,
  reason text,
  final integer not null default 0,
  seconds real,
  -- US dollars that the provider asks for it; null where nobody can tell.
  cost_usd real,
  source_sha256 text,
  source_media_type text,
  source_c2pa integer,
  started_at text not null
);
create index if not exists quel_generation_attempts_image
  on quel_generation_attempts (job_id, stage_index, ordinal);
create index if not exists quel_generation_attempts_cost
  on quel_generation_attempts (provider, started_at, cost_usd, outcome);
create index if not exists quel_generation_attempts_member
  on quel_generation_attempts (quel_member_id, started_at) where quel_member_id is not null;
create index if not exists quel_generation_attempts_round on quel_generation_attempts (run_id, stage_index, round);
-- Few, and asked for again and again while a job is watched.
create index if not exists quel_generation_attempts_without_picture
  on quel_generation_attempts (job_id, stage_index, ordinal) where outcome is null or outcome <> 'generated';

create table if not exists quel_api_keys (
  key_id text primary key,
  quel_member_id text not null,
  name text not null,
  operator integer not null default 0,
  key_hash text not null unique,
  created_at text not null,
  revoked_at text
);

create table if not exists quel_api_sessions (
  session_hash text primary key,
  quel_member_id text not null,
  key_id text references quel_api_keys (key_id) on delete cascade,
  created_at text not null,
  expires_at text not null
);
create index if not exists quel_api_sessions_member on quel_api_sessions (quel_member_id, created_at);
create index if not exists quel_api_sessions_expiry on quel_api_sessions (expires_at);
create index if not exists quel_api_sessions_key on quel_api_sessions (key_id);

-- What workers can call; workers of the same settings share a row.
create table if not exists quel_provider_offers (
  offer_hash text primary key,
  offer text not null,
  expires_at text not null
);
