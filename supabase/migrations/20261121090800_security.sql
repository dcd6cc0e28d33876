-- Who may do what. Darkroom works through the functions, with the service role's key. A signed-in user reads
-- what is theirs and may put an order in; nobody else may do anything.

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

-- Every function of ours, whatever it is called with, for the service role alone.
do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select procedure.oid::regprocedure from pg_catalog.pg_proc as procedure
    join pg_catalog.pg_namespace as namespace on namespace.oid = procedure.pronamespace
    where namespace.nspname = 'public' and procedure.proname like 'darkroom\_%'
  loop
    execute format('revoke all on function %s from public, anon, authenticated', v_function);
    execute format('grant execute on function %s to service_role', v_function);
  end loop;
end
$$;

-- Progress for front ends that listen instead of polling.
do $$
begin
  if exists (select 1 from pg_catalog.pg_publication where pubname = 'supabase_realtime' and not puballtables)
    and not exists (
      select 1 from pg_catalog.pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'quel_production_jobs')
  then
    alter publication supabase_realtime add table public.quel_production_jobs;
  end if;
end
$$;

insert into public.quel_schema_versions (version) values ('20261121090800') on conflict do nothing;

notify pgrst, 'reload schema';
