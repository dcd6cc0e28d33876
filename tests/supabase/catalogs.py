"""Databases beside a project's, for migrations alone, and what a schema is made of, read from the catalog."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row

from tests.supabase.project import MIGRATIONS, NEW_PROJECT, Project, run_file

FILES = sorted(MIGRATIONS.glob("*.sql"))
EXISTING = Path(__file__).with_name("existing.sql")

Schema = Mapping[str, Mapping[str, str]]
"""What there is, by kind and name; the values are definitions."""

_PARTS = {
    "tables": "select relname, format('%s, row-level security %s', relkind, relrowsecurity) from pg_class"
    " where relnamespace = 'public'::regnamespace and relkind <> 'i'",
    "columns": "select table_name || '.' || column_name, format('%s %s, default %s, identity %s', data_type,"
    " case is_nullable when 'NO' then 'not null' end, column_default, identity_generation)"
    " from information_schema.columns where table_schema = 'public'",
    "constraints": "select conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) from pg_constraint"
    " where connamespace = 'public'::regnamespace",
    "indexes": "select indexname, indexdef from pg_indexes where schemaname = 'public'",
    "triggers": "select tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) || ' ' || tgenabled::text"
    " from pg_trigger where not tgisinternal",
    "policies": "select tablename || '.' || policyname, to_jsonb(pg_policies)::text from pg_policies",
    "functions": "select oid::regprocedure::text, pg_get_functiondef(oid) from pg_proc"
    " where pronamespace = 'public'::regnamespace",
    "rights on tables": "select oid::regclass::text, array(select format('%s %s', grantee::regrole, privilege_type)"
    " from aclexplode(coalesce(relacl, acldefault('r', relowner))) order by 1)::text from pg_class"
    " where relnamespace = 'public'::regnamespace and relkind = 'r'",
    "rights on columns": "select attrelid::regclass || '.' || attname, attacl::text from pg_attribute"
    " where attacl is not null",
    "rights on functions": "select oid::regprocedure::text, array(select format('%s %s', case when grantee = 0 then"
    " 'everybody' else grantee::regrole::text end, privilege_type)"
    " from aclexplode(coalesce(proacl, acldefault('f', proowner))) order by 1)::text from pg_proc"
    " where pronamespace = 'public'::regnamespace",
    "published": "select tablename, pubname from pg_publication_tables",
}


def schema(db: psycopg.Connection) -> Schema:
    """Everything in `public`, as `pg_dump` would tell it."""
    return {part: dict(db.execute(query).fetchall()) for part, query in _PARTS.items()}


def rows(db: psycopg.Connection) -> Mapping[str, list[dict[str, object]]]:
    """Every row of every table of `public` but the versions of the schema, as JSON."""
    names = "select tablename from pg_tables where schemaname = 'public' and tablename <> 'quel_schema_versions'"
    found = {}
    for (name,) in db.execute(names).fetchall():
        query = sql.SQL("select to_jsonb(row) from {} as row order by to_jsonb(row)::text")
        found[name] = db.cursor(row_factory=scalar_row).execute(query.format(sql.Identifier(name))).fetchall()
    return found


@contextmanager
def database(project: Project) -> Iterator[psycopg.Connection]:
    """An empty project's database on the same server, without an API; gone after the context."""
    name = f"beside_{uuid4().hex}"
    with project.connect() as server:
        server.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            with psycopg.connect(project.postgres.uri(database=name), autocommit=True) as db:
                run_file(db, NEW_PROJECT)
                yield db
        finally:
            server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def migrate(db: psycopg.Connection) -> None:
    """Apply all migrations, each file in one transaction, as the Supabase CLI does."""
    for file in FILES:
        with db.transaction():
            run_file(db, file)


def statements(file: Path) -> list[str]:
    """The statements of a migration, as `psql -f` sends them one by one."""
    parts = re.split(r"(\$\$.*?\$\$)", re.sub(r"(?m)^--.*\n", "", file.read_text("utf-8")), flags=re.DOTALL)
    whole = "".join(part if part.startswith("$$") else part.replace(";\n", "\0\n") for part in parts)
    return [statement.strip() for statement in whole.split("\0\n") if statement.strip()]
