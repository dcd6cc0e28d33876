-- The schema of the Storage server, before it makes its tables there: what its own migrations grant when they may
-- create roles. They may not (DB_INSTALL_ROLES=false), because then they would also make `authenticator` a superuser.
-- Row-level security, which they switch on, lets nobody but `service_role` see anything.
--
-- Run it as the role that the Storage server logs in with. Running it again changes nothing.

create schema if not exists storage;
grant usage on schema storage to anon, authenticated, service_role;
alter default privileges in schema storage grant all on tables to anon, authenticated, service_role;
alter default privileges in schema storage grant all on functions to anon, authenticated, service_role;
alter default privileges in schema storage grant all on sequences to anon, authenticated, service_role;
