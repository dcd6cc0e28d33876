-- Rows of jobs that a user inserted use what is theirs: who inserted a row is kept in a table of ours.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- With its rights in one statement, so that it is open to nobody in between.
do $$
begin
  if to_regclass('public.quel_job_inserts') is null then
    create table if not exists public.quel_job_inserts (
      job_id uuid primary key references public.quel_production_jobs (job_id) on delete cascade,
      user_id uuid,
      by_user boolean not null,
      inserted_at timestamptz not null
    );
    alter table public.quel_job_inserts enable row level security;
    revoke all on public.quel_job_inserts from public, anon, authenticated;
    grant all on public.quel_job_inserts to service_role;
  end if;
end
$$;

-- Note who inserted a job's row. Whoever acts as the service role or as the owner of the table is an application's server,
-- unless it acts for somebody who signed in: a function of a deployment may insert as its owner.
create or replace function public.darkroom_note_insert() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
begin
  insert into public.quel_job_inserts (job_id, user_id, by_user, inserted_at)
  values (
    new.job_id, nullif(v_claims->>'sub', '')::uuid,
    tg_argv[0] = 'user' or coalesce(v_claims->>'role' in ('anon', 'authenticated'), false), clock_timestamp())
  on conflict (job_id) do nothing;
  return null;
end
$$;
create or replace trigger darkroom_inserted_by_server after insert on public.quel_production_jobs
  for each row when (pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_note_insert('server');
create or replace trigger darkroom_inserted_by_user after insert on public.quel_production_jobs
  for each row when (not pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_note_insert('user');

-- What a job's order is read from: the document as it came, and whether its stages are stored already.
create or replace function public.darkroom_order_source(p_job_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_source jsonb;
begin
  select jsonb_build_object(
    'job_id', job.job_id, 'job_type', coalesce(job.order_type, job.job_type), 'user_id', job.quel_member_id,
    'production_id', job.production_id, 'document', job.job_input_data,
    'opened', exists (select 1 from public.quel_job_stages as stage where stage.job_id = job.job_id))
    || case when job.org_id is null then '{}' else jsonb_build_object('org_id', job.org_id) end
    || coalesce((
      select jsonb_build_object('inserted_by', jsonb_build_object('user_id', inserted.user_id))
      from public.quel_job_inserts as inserted where inserted.job_id = job.job_id and inserted.by_user), '{}')
  into v_source from public.quel_production_jobs as job where job.job_id = p_job_id;
  if v_source is null then
    perform public.darkroom_not_found(p_job_id);
  end if;
  return v_source;
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127174800') on conflict do nothing;

notify pgrst, 'reload schema';
