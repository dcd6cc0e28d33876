-- Who may do what with the tables. Darkroom works through functions, with the service role's key. A signed-in user
-- reads what is theirs and may put an order in; nobody else reaches anything.

alter table public.quel_schema_versions enable row level security;
alter table public.quel_adopted_tables enable row level security;
alter table public.quel_words enable row level security;
alter table public.quel_member enable row level security;
alter table public.quel_organization enable row level security;
alter table public.quel_organization_member enable row level security;
alter table public.quel_organization_opening enable row level security;
alter table public.quel_production_photo enable row level security;
alter table public.quel_production_jobs enable row level security;
alter table public.quel_job_inserts enable row level security;
alter table public.quel_job_words enable row level security;
alter table public.quel_deleted_jobs enable row level security;
alter table public.quel_job_stages enable row level security;
alter table public.quel_job_runs enable row level security;
alter table public.quel_job_requests enable row level security;
alter table public.quel_generation_attempts enable row level security;
alter table public.quel_attach enable row level security;
alter table public.quel_earlier_pictures enable row level security;
alter table public.quel_credits enable row level security;
alter table public.quel_credit_holds enable row level security;
alter table public.quel_books enable row level security;
alter table public.quel_api_keys enable row level security;
alter table public.quel_provider_offers enable row level security;
alter table public.quel_api_windows enable row level security;
alter table public.quel_api_leases enable row level security;

-- A project may give every right on new tables to everybody who can sign in, and to those who cannot. Another gives
-- none, not even to the service role.
revoke all on
  public.quel_schema_versions, public.quel_adopted_tables, public.quel_words, public.quel_member,
  public.quel_organization, public.quel_organization_member, public.quel_organization_opening,
  public.quel_production_photo, public.quel_production_jobs, public.quel_job_stages, public.quel_job_runs,
  public.quel_job_requests, public.quel_generation_attempts, public.quel_attach, public.quel_earlier_pictures,
  public.quel_credits, public.quel_credit_holds, public.quel_books, public.quel_api_keys, public.quel_job_inserts,
  public.quel_provider_offers, public.quel_api_windows, public.quel_api_leases, public.quel_job_words,
  public.quel_deleted_jobs
from public, anon, authenticated;
grant all on
  public.quel_schema_versions, public.quel_adopted_tables, public.quel_words, public.quel_member,
  public.quel_organization, public.quel_organization_member, public.quel_organization_opening,
  public.quel_production_photo, public.quel_production_jobs, public.quel_job_stages, public.quel_job_runs,
  public.quel_job_requests, public.quel_generation_attempts, public.quel_attach, public.quel_earlier_pictures,
  public.quel_credits, public.quel_credit_holds, public.quel_books, public.quel_api_keys, public.quel_job_inserts,
  public.quel_provider_offers, public.quel_api_windows, public.quel_api_leases, public.quel_job_words,
  public.quel_deleted_jobs
to service_role;

grant select on
  public.quel_production_photo, public.quel_production_jobs, public.quel_attach, public.quel_credits
to authenticated;
grant insert (quel_member_id, job_status, job_type, job_input_data, production_id)
  on public.quel_production_jobs to authenticated;

create policy darkroom_read_own on public.quel_production_photo
  for select to authenticated using (quel_member_id = (select auth.uid()));

create policy darkroom_read_own on public.quel_production_jobs
  for select to authenticated using (quel_member_id = (select auth.uid()));

-- Attachments that were not delivered are shown nowhere (spec §3).
create policy darkroom_read_own on public.quel_attach
  for select to authenticated
  using (quel_member_id = (select auth.uid()) and (job_id is null or delivered_at is not null));

create policy darkroom_read_own on public.quel_credits
  for select to authenticated using (user_id = (select auth.uid()));

-- An order from a front end: the user's own, pending, with a production of their own or none.
create policy darkroom_order on public.quel_production_jobs
  for insert to authenticated
  with check (
    quel_member_id = (select auth.uid()) and job_status = 'pending'
    and (production_id is null or exists (
      select 1 from public.quel_production_photo as production
      where production.production_id = quel_production_jobs.production_id
        and production.quel_member_id = (select auth.uid()))));

-- Policies of before that would let more through than these: permissive ones add up, so these hold them back.
create policy darkroom_only_own on public.quel_production_jobs as restrictive
  for all to anon, authenticated
  using (quel_member_id = (select auth.uid()))
  with check (
    quel_member_id = (select auth.uid()) and job_status = 'pending'
    and (production_id is null or exists (
      select 1 from public.quel_production_photo as production
      where production.production_id = quel_production_jobs.production_id
        and production.quel_member_id = (select auth.uid()))));

create policy darkroom_only_own on public.quel_production_photo as restrictive
  for all to anon, authenticated using (quel_member_id = (select auth.uid()));

create policy darkroom_only_own on public.quel_attach as restrictive
  for all to anon, authenticated
  using (quel_member_id = (select auth.uid()) and (job_id is null or delivered_at is not null));

create policy darkroom_only_own on public.quel_credits as restrictive
  for all to anon, authenticated using (user_id = (select auth.uid()));
