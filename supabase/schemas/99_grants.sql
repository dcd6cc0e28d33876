-- Who may call the functions. This file is the last one, because it looks for all functions that there are.

-- Every function of ours, whatever it is called with, for the service role alone: a project may let everybody call what
-- is made in it. Each migration that makes functions ends with this too, so that not one is open for a moment.
create or replace function public.darkroom_close_functions() returns void
language plpgsql set search_path = '' as $$
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

select public.darkroom_close_functions();

select public.darkroom_learn_words();
