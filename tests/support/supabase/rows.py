"""The rows of a project between two tests: none, or those that were kept."""

import psycopg

# What is larger than two pages is truncated, though that costs ten times as much as to delete a few rows: no test finds
# what all those before it have left behind.
_EMPTY = """
do $empty$
declare
  v_table text;
  v_sequence record;
  v_large text;
begin
  -- No trigger and no foreign key has a say: in the end there is no row that one could be about.
  set local session_replication_role = replica;
  for v_table in
    select format('public.%I', tablename) from pg_tables
    where schemaname = 'public' and tablename not in ('quel_schema_versions', 'quel_adopted_tables', 'quel_words')
  loop
    if pg_relation_size(v_table) > 2 * 8192 then
      v_large := concat_ws(', ', v_large, v_table);
    elsif pg_relation_size(v_table) > 0 then
      execute format('delete from %s', v_table);
    end if;
  end loop;
  if v_large is not null then
    execute format('truncate %s cascade', v_large);
  end if;
  for v_sequence in
    select format('public.%I', sequencename) as name, start_value from pg_sequences
    where schemaname = 'public' and last_value is not null
  loop
    perform setval(v_sequence.name, v_sequence.start_value, false);
  end loop;
end
$empty$
"""

_KEEP = """
do $keep$
declare
  v_table text;
begin
  drop schema if exists kept cascade;
  create schema kept;
  for v_table in
    select tablename from pg_tables
    where schemaname = 'public' and tablename not in ('quel_schema_versions', 'quel_adopted_tables', 'quel_words')
  loop
    execute format('create table kept.%I as table public.%1$I', v_table);
  end loop;
  create table kept.sequences as
    select format('public.%I', sequencename) as name, last_value from pg_sequences
    where schemaname = 'public' and last_value is not null;
end
$keep$
"""

_PUT_BACK = """
do $put_back$
declare
  v_table text;
begin
  set local session_replication_role = replica;
  for v_table in select tablename from pg_tables where schemaname = 'kept' and tablename <> 'sequences' loop
    execute format('insert into public.%I overriding system value table kept.%1$I', v_table);
  end loop;
  perform setval(name, last_value) from kept.sequences;
end
$put_back$
"""


def empty(db: psycopg.Connection) -> None:
    """Remove all rows but those that migrations wrote about themselves and the tables, and start all sequences anew."""
    db.execute(_EMPTY)


def keep(db: psycopg.Connection) -> None:
    """Keep the rows as they are now, for `put_back`."""
    db.execute(_KEEP)


def put_back(db: psycopg.Connection) -> None:
    """Have the rows that were kept, and no others."""
    db.execute(_EMPTY)
    db.execute(_PUT_BACK)
