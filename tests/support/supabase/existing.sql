-- The database of a deployment that ran before Darkroom: the tables, types, checks, triggers, policies and grants that
-- it has, and rows in every state that the worker of then left behind. Tests only.

create type public.quel_member_status_enum as enum ('active', 'inactive', 'suspended', 'deleted');
create type public.production_status_enum as enum (
  'pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled');
create type public.job_status_enum as enum (
  'pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled');

create function public.touch() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end
$$;
create function public.touch_member() returns trigger language plpgsql as $$
begin
  new.quel_updated_at := now();
  return new;
end
$$;

create table public.quel_member (
  quel_member_id uuid primary key default gen_random_uuid(),
  quel_email text not null,
  quel_name text,
  quel_picture text,
  provider text not null,
  provider_sub text not null,
  quel_member_credit bigint default 0,
  quel_member_status public.quel_member_status_enum not null default 'active',
  quel_created_at timestamptz not null default now(),
  quel_updated_at timestamptz not null default now(),
  quel_deleted_at timestamptz,
  ui_language text default 'ko',
  unique (provider, provider_sub)
);
create trigger touch before update on public.quel_member for each row execute function public.touch_member();

create table public.quel_organization (
  org_id uuid primary key default gen_random_uuid(),
  org_name text not null,
  org_credit bigint default 0,
  owner_id uuid not null references public.quel_member (quel_member_id),
  org_status text not null default 'active'
    check (org_status in ('active', 'pending', 'inactive', 'suspended', 'deleted')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create trigger touch before update on public.quel_organization for each row execute function public.touch();

create table public.quel_organization_member (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.quel_organization (org_id) on delete cascade,
  member_id uuid not null references public.quel_member (quel_member_id),
  role text not null default 'member' check (role in ('owner', 'admin', 'member')),
  status text not null default 'active' check (status in ('active', 'left', 'banned')),
  created_at timestamptz not null default now(),
  unique (org_id, member_id)
);

create table public.quel_production_photo (
  production_id uuid primary key default gen_random_uuid(),
  quel_member_id uuid references public.quel_member (quel_member_id),
  org_id uuid references public.quel_organization (org_id),
  production_name varchar(255),
  production_status public.production_status_enum default 'pending',
  pipeline_type varchar(50),
  stage_count integer default 1,
  total_quantity integer,
  camera_angle varchar(50),
  shot_type varchar(50),
  prompt_text text,
  generated_image_count integer default 0,
  attach_ids jsonb,
  processing_duration_seconds integer,
  input_images_count integer,
  workflow_data jsonb,
  quel_production_path varchar(50),
  created_at timestamptz not null default now()
);
create index production_of_member on public.quel_production_photo (quel_member_id);

create table public.quel_production_jobs (
  job_id uuid constraint jobs_of_before primary key default gen_random_uuid(),
  production_id uuid not null references public.quel_production_photo (production_id) on delete cascade,
  job_type varchar(50) not null
    check (job_type in ('single_batch', 'pipeline_stage', 'simple_general', 'simple_portrait')),
  stage_index integer,
  stage_name varchar(100),
  batch_index integer,
  job_status public.job_status_enum default 'pending'
    constraint known_states check (job_status in (
      'pending', 'processing', 'completed', 'failed', 'cancelled', 'user_cancelled')),
  total_images integer not null,
  completed_images integer default 0,
  failed_images integer default 0,
  job_input_data jsonb not null,
  generated_attach_ids jsonb default '[]',
  error_message text,
  retry_count integer default 0,
  created_at timestamptz default now(),
  started_at timestamptz,
  completed_at timestamptz,
  updated_at timestamptz default now(),
  quel_member_id uuid references public.quel_member (quel_member_id),
  org_id uuid references public.quel_organization (org_id),
  estimated_credits integer default 0,
  remaining_credits numeric(10, 2) default 0,
  quel_production_path varchar(50),
  generated_urls text[],
  constraint place_of_type check (
    (job_type in ('single_batch', 'simple_general', 'simple_portrait') and batch_index is not null
      and stage_index is null)
    or (job_type = 'pipeline_stage' and stage_index is not null and batch_index is null))
);
create index jobs_by_state on public.quel_production_jobs (job_status);
create trigger touch before update on public.quel_production_jobs for each row execute function public.touch();

create table public.quel_attach (
  attach_id bigint generated by default as identity primary key,
  created_at timestamptz default now(),
  attach_original_name text,
  attach_file_name text,
  attach_file_path text,
  attach_file_size bigint,
  attach_file_type text,
  attach_directory text,
  attach_storage_type text default 'supabase'
);

create table public.quel_credits (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.quel_member (quel_member_id),
  org_id uuid references public.quel_organization (org_id),
  used_by_member_id uuid references public.quel_member (quel_member_id),
  transaction_type varchar(20) not null,
  amount integer not null,
  balance_after integer not null,
  description text,
  attach_idx bigint references public.quel_attach (attach_id),
  production_idx uuid references public.quel_production_photo (production_id) on delete set null,
  api_provider varchar(50),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index credits_by_time on public.quel_credits (created_at);
create trigger touch before update on public.quel_credits for each row execute function public.touch();

-- Some tables are guarded, others are open to whoever has the public key, and one holds a table-wide right to update.
alter table public.quel_member enable row level security;
create policy "members see themselves" on public.quel_member
  for select to authenticated using (quel_member_id = auth.uid());
alter table public.quel_production_jobs enable row level security;
create policy "own jobs" on public.quel_production_jobs
  to authenticated using (quel_member_id = auth.uid()) with check (quel_member_id = auth.uid());
revoke all on public.quel_credits from anon, authenticated;
grant select on public.quel_credits to authenticated;
revoke all on public.quel_organization from anon;

-- Twenty members: with a journal that explains the balance, with one that does not, with none, and without a number.
insert into public.quel_member (
  quel_member_id, quel_email, provider, provider_sub, quel_member_credit, quel_created_at, quel_updated_at)
select format('00000000-0000-0000-0000-0000000000%s', to_char(n, 'FM00'))::uuid, format('user-%s@example.com', n),
  'google', 'sub-' || n, case when n = 20 then null else 500 * n end,
  '2024-01-01'::timestamptz + n * interval '1 day', '2024-06-01'
from generate_series(1, 20) as n;

-- Organisations in every state; the first two are active.
insert into public.quel_organization (org_id, org_name, org_credit, owner_id, org_status, created_at, updated_at)
select format('00000000-0000-0000-0004-0000000000%s', to_char(n, 'FM00'))::uuid, 'Studio ' || n, 1000 * n,
  format('00000000-0000-0000-0000-0000000000%s', to_char(n, 'FM00'))::uuid,
  (array['active', 'active', 'pending', 'inactive', 'suspended', 'deleted'])[n], '2024-01-05', '2024-01-06'
from generate_series(1, 6) as n;
insert into public.quel_organization_member (id, org_id, member_id, role, status, created_at)
select format('00000000-0000-0000-0005-0000000000%s', to_char(n, 'FM00'))::uuid,
  format('00000000-0000-0000-0004-0000000000%s', to_char(1 + n % 6, 'FM00'))::uuid,
  format('00000000-0000-0000-0000-0000000000%s', to_char(n, 'FM00'))::uuid,
  (array['owner', 'admin', 'member'])[1 + n % 3],
  (array['active', 'active', 'active', 'left', 'banned'])[1 + n % 5], '2024-01-07'
from generate_series(1, 18) as n;

insert into public.quel_production_photo (
  production_id, quel_member_id, production_name, production_status, attach_ids, generated_image_count, total_quantity,
  pipeline_type, workflow_data, quel_production_path, created_at)
select format('00000000-0000-0000-0001-0000000000%s', to_char(n, 'FM00'))::uuid,
  case when n = 20 then null else format('00000000-0000-0000-0000-0000000000%s', to_char(n, 'FM00'))::uuid end,
  'Autumn ' || n,
  (case n % 3 when 0 then 'completed' when 1 then 'processing' else 'pending' end)::public.production_status_enum,
  case n % 3 when 0 then '[1, 2, 3]'::jsonb when 1 then null else 'null'::jsonb end, case when n % 3 = 0 then 3 end, n,
  'pipeline', '{"camera": {"angle": "front"}}', 'fashion', '2024-02-01'::timestamptz + n * interval '1 hour'
from generate_series(1, 20) as n;

-- Pictures; of some the path is kept in attach_directory alone.
insert into public.quel_attach (
  attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type, attach_directory,
  created_at)
select format('IMG_%s.jpg', n), format('generated_%s.webp', n),
  case when n % 10 = 0 then case when n % 20 = 0 then '' end
    else format('generated-images/user-x/generated_%s.webp', n) end,
  case when n % 7 = 0 then null else 100000 + n end, case when n % 5 = 0 then null else 'image/webp' end,
  case when n % 10 = 0 then format('generated-images/user-x/generated_%s.webp', n) else 'generated-images' end,
  '2024-02-02'::timestamptz + n * interval '1 second'
from generate_series(1, 300) as n;

-- 147 of 150 called completed; pending and processing ones that the old worker owns; rows without times or counts.
insert into public.quel_production_jobs (
  job_id, production_id, quel_member_id, job_type, stage_index, batch_index, job_status, stage_name, total_images,
  completed_images, failed_images, job_input_data, generated_attach_ids, error_message, retry_count,
  estimated_credits, remaining_credits, created_at, started_at, completed_at, updated_at)
select format('00000000-0000-0000-0002-%s', to_char(n, 'FM000000000000'))::uuid,
  format('00000000-0000-0000-0001-0000000000%s', to_char(1 + n % 20, 'FM00'))::uuid,
  format('00000000-0000-0000-0000-0000000000%s', to_char(1 + n % 20, 'FM00'))::uuid,
  case n % 4 when 0 then 'simple_general' when 1 then 'single_batch' else 'pipeline_stage' end,
  case when n % 4 > 1 then 0 end, case when n % 4 < 2 then 0 end, state::public.job_status_enum, 'stage ' || n,
  150, case state when 'completed' then 147 else 0 end, case state when 'completed' then 3 else 0 end,
  jsonb_build_object('userId', n, 'prompt', 'a red coat', 'quantity', 150),
  case state when 'completed' then (select jsonb_agg(id) from generate_series(1, 147) as id) else '[]' end,
  case state when 'failed' then 'context deadline exceeded' end, n % 3, 3000, n * 1.25,
  '2024-03-01'::timestamptz + n * interval '1 minute', '2024-03-02', '2024-03-03', '2024-03-04 05:06:07.891011+09'
from (
  select n, (array['completed', 'failed', 'pending', 'processing', 'cancelled', 'user_cancelled'])[1 + n % 6] as state
  from generate_series(1, 240) as n
) as old;
insert into public.quel_production_jobs (
  job_id, production_id, job_type, batch_index, job_status, total_images, job_input_data, completed_images,
  failed_images, generated_attach_ids, retry_count, created_at, updated_at)
select format('00000000-0000-0000-0003-00000000000%s', n)::uuid, '00000000-0000-0000-0001-000000000020',
  'single_batch', 0, state::public.job_status_enum, 0, '{}', null, null, case n when 2 then 'null'::jsonb end, null,
  null, null
from unnest(array['completed', 'failed', 'pending', null]) with ordinality as bare (state, n);

-- A journal of members, and of an organisation, whose rows hold its balance and not the member's.
insert into public.quel_credits (
  id, user_id, transaction_type, amount, balance_after, description, attach_idx, production_idx, created_at, updated_at)
select md5('row ' || n)::uuid, format('00000000-0000-0000-0000-0000000000%s', to_char(1 + n % 15, 'FM00'))::uuid,
  (array['purchase', 'DEDUCT', 'refund', 'purchase'])[1 + n % 4], case when n % 4 = 1 then -20 else 10 end, 40 * n,
  'Generated With Image', case when n % 4 = 1 then 1 + n % 300 end,
  case when n % 4 = 1 then format('00000000-0000-0000-0001-0000000000%s', to_char(1 + n % 15, 'FM00'))::uuid end,
  '2024-04-01'::timestamptz + n * interval '1 minute', '2024-04-02'
from generate_series(1, 400) as n;
insert into public.quel_credits (
  id, user_id, org_id, used_by_member_id, transaction_type, amount, balance_after, created_at, updated_at)
select md5('row of one ' || n)::uuid, '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0004-000000000001',
  '00000000-0000-0000-0000-000000000001', 'DEDUCT', -20, 2000 - 20 * n, '2024-05-01'::timestamptz + n * interval '1 s',
  '2024-05-02'
from generate_series(1, 30) as n;
