-- What lists of jobs are narrowed by, and what they leave out.

-- What a job is found by: its name and its prompts, each once, in lower case.
create table public.quel_job_words (
  job_id uuid primary key references public.quel_production_jobs (job_id) on delete cascade,
  words text not null
);

-- Jobs that were deleted: of them numbers, receipts and the journal are left. Files go afterwards, and are gone once
-- that is noted.
create table public.quel_deleted_jobs (
  job_id uuid primary key references public.quel_production_jobs (job_id) on delete cascade,
  deleted_at timestamptz not null,
  -- Of the book whose only job it was.
  cover text,
  files_removed_at timestamptz
);
create index quel_deleted_jobs_unfinished on public.quel_deleted_jobs (deleted_at) where files_removed_at is null;
