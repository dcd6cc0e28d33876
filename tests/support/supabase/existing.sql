-- A database as people made theirs by hand before Darkroom: the columns of spec §8, columns of the old application
-- beside them, and rows in every state that the systems of before left behind. Tests only.

create function public.touch() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end
$$;

create table public.quel_member (
  quel_member_id uuid primary key default gen_random_uuid(),
  quel_member_email varchar(255) unique,
  quel_member_name varchar(100),
  quel_member_credit integer default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz default now()
);
create trigger touch before update on public.quel_member for each row execute function public.touch();

create table public.quel_production_photo (
  production_id uuid primary key default gen_random_uuid(),
  quel_member_id uuid references public.quel_member (quel_member_id),
  production_name varchar(255) not null default 'untitled',
  production_status varchar(20) default 'pending',
  attach_ids jsonb,
  generated_image_count integer default 0,
  total_quantity integer,
  workflow_data jsonb,
  created_at timestamptz not null default now()
);
create index production_of_member on public.quel_production_photo (quel_member_id);

create table public.quel_production_jobs (
  job_id uuid constraint jobs_of_before primary key default gen_random_uuid(),
  production_id uuid references public.quel_production_photo (production_id) on delete cascade,
  quel_member_id uuid references public.quel_member (quel_member_id),
  job_type varchar(50) not null,
  job_status varchar(20) default 'pending'
    constraint known_states check (job_status in (
      'pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')),
  stage_name varchar(100),
  total_images integer,
  completed_images integer default 0,
  failed_images integer default 0,
  job_input_data jsonb,
  generated_attach_ids jsonb default '[]',
  error_message text,
  retry_count integer default 0,
  remaining_credits numeric(10, 2) default 0,
  created_at timestamptz default now(),
  started_at timestamptz,
  completed_at timestamptz,
  updated_at timestamptz default now()
);
create index jobs_by_state on public.quel_production_jobs (job_status);
create trigger touch before update on public.quel_production_jobs for each row execute function public.touch();

create table public.quel_attach (
  attach_id serial primary key,
  attach_original_name varchar(255),
  attach_file_name varchar(255) not null,
  attach_file_path varchar(500),
  attach_file_size bigint,
  attach_file_type varchar(50),
  attach_directory varchar(255),
  attach_storage_type varchar(20) default 'supabase',
  created_at timestamptz default now()
);

create table public.quel_credits (
  id serial primary key,
  quel_member_id uuid not null references public.quel_member (quel_member_id),
  transaction_type varchar(20) not null,
  amount integer not null,
  balance_after integer not null,
  description text,
  attach_idx integer references public.quel_attach (attach_id),
  production_idx uuid references public.quel_production_photo (production_id),
  created_at timestamptz not null default now()
);
create index credits_by_time on public.quel_credits (created_at);

-- Twenty members: with a journal that explains the balance, with one that does not, with none, and without a number.
insert into public.quel_member (quel_member_id, quel_member_email, quel_member_credit, created_at, updated_at)
select format('00000000-0000-0000-0000-0000000000%s', to_char(n, 'FM00'))::uuid, format('user-%s@example.com', n),
  case when n = 20 then null else 500 * n end, '2024-01-01'::timestamptz + n * interval '1 day', '2024-06-01'
from generate_series(1, 20) as n;

insert into public.quel_production_photo (
  production_id, quel_member_id, production_name, production_status, attach_ids, generated_image_count, total_quantity,
  workflow_data, created_at)
select format('00000000-0000-0000-0001-0000000000%s', to_char(n, 'FM00'))::uuid,
  case when n = 20 then null else format('00000000-0000-0000-0000-0000000000%s', to_char(n, 'FM00'))::uuid end,
  'Autumn ' || n, case n % 3 when 0 then 'completed' when 1 then 'processing' else 'pending' end,
  case n % 3 when 0 then '[1, 2, 3]'::jsonb when 1 then null else 'null'::jsonb end, case when n % 3 = 0 then 3 end, n,
  '{"camera": {"angle": "front"}}', '2024-02-01'::timestamptz + n * interval '1 hour'
from generate_series(1, 20) as n;

insert into public.quel_attach (
  attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type, attach_directory,
  created_at)
select format('IMG_%s.jpg', n), format('generated_%s.webp', n), format('generated-images/user-x/generated_%s.webp', n),
  case when n % 7 = 0 then null else 100000 + n end, case when n % 5 = 0 then null else 'image/webp' end,
  'generated-images', '2024-02-02'::timestamptz + n * interval '1 second'
from generate_series(1, 300) as n;

-- 147 of 150 called completed; pending and processing ones that the old worker owns; states nobody else knows; nulls.
insert into public.quel_production_jobs (
  job_id, production_id, quel_member_id, job_type, job_status, stage_name, total_images, completed_images,
  failed_images, job_input_data, generated_attach_ids, error_message, retry_count, remaining_credits, created_at,
  started_at, completed_at, updated_at)
select format('00000000-0000-0000-0002-%s', to_char(n, 'FM000000000000'))::uuid,
  format('00000000-0000-0000-0001-0000000000%s', to_char(1 + n % 20, 'FM00'))::uuid,
  format('00000000-0000-0000-0000-0000000000%s', to_char(1 + n % 20, 'FM00'))::uuid,
  case n % 4 when 0 then 'simple_general' when 1 then 'single_batch' else 'pipeline_stage' end, state, 'stage ' || n,
  150, case state when 'completed' then 147 else 0 end, case state when 'completed' then 3 else 0 end,
  jsonb_build_object('userId', n, 'prompt', 'a red coat', 'quantity', 150),
  case state when 'completed' then (select jsonb_agg(id) from generate_series(1, 147) as id) else '[]' end,
  case state when 'failed' then 'context deadline exceeded' end, n % 3, n * 1.25,
  '2024-03-01'::timestamptz + n * interval '1 minute', '2024-03-02', '2024-03-03', '2024-03-04 05:06:07.891011+09'
from (
  select n, (array['completed', 'failed', 'pending', 'processing', 'cancelled', 'user_cancelled'])[1 + n % 6] as state
  from generate_series(1, 240) as n
) as old;
insert into public.quel_production_jobs (
  job_id, job_type, job_status, completed_images, failed_images, generated_attach_ids, retry_count, created_at,
  updated_at)
values
  ('00000000-0000-0000-0003-000000000001', 'single_batch', 'completed', null, null, null, null, null, null),
  ('00000000-0000-0000-0003-000000000002', 'single_batch', 'failed', null, null, 'null', null, null, null),
  ('00000000-0000-0000-0003-000000000003', 'single_batch', 'pending', null, null, null, null, null, null),
  ('00000000-0000-0000-0003-000000000004', 'single_batch', null, null, null, null, null, null, null);

insert into public.quel_credits (
  quel_member_id, transaction_type, amount, balance_after, description, attach_idx, production_idx, created_at)
select format('00000000-0000-0000-0000-0000000000%s', to_char(1 + n % 15, 'FM00'))::uuid,
  (array['purchase', 'DEDUCT', 'refund', 'bonus'])[1 + n % 4], case when n % 4 = 1 then -20 else 10 end, 40 * n,
  'Generated With Image', case when n % 4 = 1 then 1 + n % 300 end,
  case when n % 4 = 1 then format('00000000-0000-0000-0001-0000000000%s', to_char(1 + n % 15, 'FM00'))::uuid end,
  '2024-04-01'::timestamptz + n * interval '1 minute'
from generate_series(1, 400) as n;
