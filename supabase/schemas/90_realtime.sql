-- Progress for front ends that listen instead of polling. A project has this publication before anything is made in it;
-- where it publishes every table already, the migration leaves it as it is.
alter publication supabase_realtime add table public.quel_production_jobs;
