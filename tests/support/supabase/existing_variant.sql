-- What differs between deployments, applied to existing.sql: text with checks instead of enums, one of them without the
-- word `cancelled`; integers and serials; forced row-level security; columns that must have a value, with defaults.

alter table public.quel_production_jobs
  drop constraint known_states,
  alter column job_status drop default,
  alter column job_status type text using case job_status when 'cancelled' then 'user_cancelled' else job_status::text end,
  alter column job_status set default 'pending',
  add constraint known_states check (
    job_status in ('pending', 'processing', 'completed', 'failed', 'user_cancelled')),
  alter column created_at drop default,
  add column channel text not null default 'web';
drop type public.job_status_enum;

alter table public.quel_production_photo
  alter column production_status drop default,
  alter column production_status type varchar(20) using production_status::text,
  alter column production_status set default 'pending',
  add constraint known_production_states check (production_status in ('pending', 'processing', 'completed', 'failed')),
  add column visibility text not null default 'private';
drop type public.production_status_enum;

alter table public.quel_member
  alter column quel_member_status drop default,
  alter column quel_member_status type text using quel_member_status::text,
  alter column quel_member_status set default 'active',
  alter column quel_member_credit type integer,
  add constraint known_member_states check (quel_member_status in ('active', 'inactive', 'suspended', 'deleted')),
  add column marketing boolean not null default false;
drop type public.quel_member_status_enum;
alter table public.quel_organization alter column org_credit type integer;

alter table public.quel_credits
  drop constraint quel_credits_attach_idx_fkey,
  drop column id,
  add column id serial primary key,
  alter column attach_idx type integer,
  add constraint known_transactions check (transaction_type in ('purchase', 'DEDUCT', 'refund')),
  add column currency text not null default 'credit';

alter table public.quel_attach
  alter column attach_id drop identity,
  alter column attach_id type integer,
  alter column attach_file_size type integer,
  alter column attach_file_name set not null,
  add column bucket text not null default 'attachments';
create sequence public.quel_attach_attach_id_seq as integer owned by public.quel_attach.attach_id;
select setval('public.quel_attach_attach_id_seq', 300);
alter table public.quel_attach
  alter column attach_id set default nextval('public.quel_attach_attach_id_seq');
alter table public.quel_credits
  add constraint quel_credits_attach_idx_fkey foreign key (attach_idx) references public.quel_attach (attach_id);

alter table public.quel_attach enable row level security;
alter table public.quel_attach force row level security;
create policy "everybody signed in sees pictures" on public.quel_attach for select to authenticated using (true);
revoke all on public.quel_attach from anon;
