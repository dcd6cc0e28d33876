-- Progress for front ends that listen instead of polling.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

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
