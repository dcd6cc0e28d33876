#!/bin/sh
# Applies supabase/migrations to the database that PGHOST, PGUSER, PGPASSWORD, PGDATABASE name: each file in one
# transaction, and once. What was applied is kept where the Supabase CLI keeps it, so `supabase db push` agrees.
#
#   migrate.sh             a hosted project, or any that has Supabase's roles
#   migrate.sh --project   a PostgreSQL of your own: makes it a Supabase project first
set -eu
here=$(dirname "$0")

run() {
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --command "set client_min_messages = warning" "$@"
}

if [ "${1:-}" = --project ]; then
  : "${SUPABASE_AUTHENTICATOR_PASSWORD:?set it in .env}" "${SUPABASE_JWT_SECRET:?set it in .env}"
  if [ "${#SUPABASE_JWT_SECRET}" -lt 32 ]; then
    echo "SUPABASE_JWT_SECRET: needs at least 32 characters" >&2
    exit 2
  fi
  run --single-transaction --file "$here/project.sql" --file "$here/storage.sql"
  run --file - <<'SQL'
\getenv password SUPABASE_AUTHENTICATOR_PASSWORD
alter role authenticator login password :'password';
SQL
fi

run --single-transaction \
  --command "create schema if not exists supabase_migrations" \
  --command "create table if not exists supabase_migrations.schema_migrations (
    version text primary key, statements text[], name text)"

for file in "$here"/../../supabase/migrations/*.sql; do
  name=$(basename "$file" .sql)
  version=${name%%_*}
  applied=$(run --tuples-only --no-align \
    --command "select 1 from supabase_migrations.schema_migrations where version = '$version'")
  if [ -z "$applied" ]; then
    echo "applying $name"
    run --single-transaction --file "$file" --command \
      "insert into supabase_migrations.schema_migrations (version, name) values ('$version', '${name#*_}')"
  fi
done
echo "every migration is applied"
