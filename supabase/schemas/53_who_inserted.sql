-- Who inserted the rows of jobs: what a user inserted uses what is theirs (spec §1).

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
create trigger darkroom_inserted_by_server after insert on public.quel_production_jobs
  for each row when (pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_note_insert('server');
create trigger darkroom_inserted_by_user after insert on public.quel_production_jobs
  for each row when (not pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_note_insert('user');
