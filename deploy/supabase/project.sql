-- What a new Supabase project has before any migration: for those who run PostgreSQL and PostgREST themselves, and
-- for the tests. A hosted project brings all of this; never run it there.
--
-- Run it as the role that will run the migrations, because default privileges belong to the role that creates
-- things. Running it again changes nothing. The password of `authenticator` is not set here: it belongs in the
-- environment of whoever starts the servers.

-- Roles: PostgREST logs in as `authenticator` and becomes the role that the token names.
do $$
begin
  if to_regrole('anon') is null then
    create role anon nologin noinherit;
  end if;
  if to_regrole('authenticated') is null then
    create role authenticated nologin noinherit;
  end if;
  if to_regrole('service_role') is null then
    create role service_role nologin noinherit bypassrls;
  end if;
  if to_regrole('authenticator') is null then
    create role authenticator login noinherit;
  end if;
end
$$;

grant anon, authenticated, service_role to authenticator;

-- The limits of a hosted project. `service_role` has none of its own and so keeps what `authenticator` logged in with.
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role authenticated set statement_timeout = '8s';
alter role anon set statement_timeout = '3s';

-- Extensions live apart from `public`, so that the API does not offer their functions.
create schema if not exists extensions;
grant usage on schema extensions to anon, authenticated, service_role;

-- Who is calling: PostgREST puts the claims of the verified token into a setting of the transaction.
create schema if not exists auth;
grant usage on schema auth to anon, authenticated, service_role;

create or replace function auth.jwt() returns jsonb
language sql stable
return nullif(current_setting('request.jwt.claims', true), '')::jsonb;

create or replace function auth.uid() returns uuid
language sql stable
return nullif(auth.jwt() ->> 'sub', '')::uuid;

create or replace function auth.role() returns text
language sql stable
return auth.jwt() ->> 'role';

-- Everything made in `public` is open to the API's roles. Projects made before 30 May 2026 are like this; newer ones
-- grant nothing. A migration that holds on both revokes what nobody should have and grants what somebody needs.
grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;

-- Realtime sends the changes of the tables that are added to this publication.
do $$
begin
  if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
end
$$;
