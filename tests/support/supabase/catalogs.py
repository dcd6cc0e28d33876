"""Databases beside a project's, for migrations or the declared schema, and what is in them, read from the catalog."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row

from tests.support.supabase.project import MIGRATIONS, NEW_PROJECT, SCHEMAS, UNEXPOSED, Project, run_file

FILES = sorted(MIGRATIONS.glob("*.sql"))
DECLARED = sorted(SCHEMAS.glob("*.sql"))
EXISTING = Path(__file__).with_name("existing.sql")
VARIANT = Path(__file__).with_name("existing_variant.sql")
TABLES_OF_0_1 = Path(__file__).with_name("tables_of_0_1.sql")

BEFORE: Mapping[str, Sequence[Path]] = {"described": [EXISTING], "variant": [EXISTING, VARIANT]}
"""Databases of deployments that ran before Darkroom, by name: the files that make them."""

Schema = Mapping[str, Mapping[str, str]]
"""What there is, by kind and name; the values are definitions."""


def _rights(granted: str, kind: str = "", owner: str = "") -> str:
    """The rights in an access list, sorted: the order in which they were granted means nothing.

    Where the list may be missing, those count that things of this kind have with their owner.
    """
    every = f"coalesce({granted}, acldefault('{kind}', {owner}))" if kind else granted
    return (
        "array(select format('%s %s%s', case grantee when 0 then 'everybody' else grantee::regrole::text end,"
        f" privilege_type, case when is_grantable then ' with grant option' end) from aclexplode({every}) order by 1)"
        "::text"
    )


_PARTS = {
    # By name, not by definition: it knows of kinds of objects that nothing below looks at.
    "objects": "select pg_describe_object(classid, objid, objsubid), deptype::text from pg_depend"
    " where refclassid = 'pg_namespace'::regclass and refobjid = 'public'::regnamespace",
    "tables": "select relname, format('%s, row-level security %s, forced %s, owner %s, persistence %s, options %s,"
    " replica identity %s %s', relkind, relrowsecurity, relforcerowsecurity, relowner::regrole, relpersistence,"
    " reloptions, relreplident, case when relkind in ('v', 'm') then pg_get_viewdef(oid) end) from pg_class"
    " where relnamespace = 'public'::regnamespace and relkind <> 'i'",
    # The place of a column among the others is left out: a migration can only add columns behind those that are there.
    "columns": "select attrelid::regclass || '.' || attname, format('%s%s, default %s, identity %s, generated %s,"
    " collation %s', format_type(atttypid, atttypmod), case when attnotnull then ' not null' end,"
    " pg_get_expr(adbin, adrelid), attidentity, attgenerated, attcollation::regcollation)"
    " from pg_attribute join pg_class on pg_class.oid = attrelid"
    " left join pg_attrdef on adrelid = attrelid and adnum = attnum"
    " where relnamespace = 'public'::regnamespace and relkind not in ('i', 'S') and attnum > 0 and not attisdropped",
    "sequences": "select sequencename, (to_jsonb(pg_sequences) - 'last_value')::text from pg_sequences"
    " where schemaname = 'public'",
    "types": "select typname, format('%s %s %s', typtype, format_type(typbasetype, typtypmod),"
    " array(select enumlabel from pg_enum where enumtypid = pg_type.oid order by enumsortorder)) from pg_type"
    " where typnamespace = 'public'::regnamespace and typtype in ('d', 'e', 'r')",
    "constraints": "select conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) from pg_constraint"
    " where connamespace = 'public'::regnamespace",
    "indexes": "select indexrelid::regclass::text, format('%s, valid %s, clustered %s, replica identity %s',"
    " pg_get_indexdef(indexrelid), indisvalid, indisclustered, indisreplident)"
    " from pg_index join pg_class on pg_class.oid = indrelid where relnamespace = 'public'::regnamespace",
    "triggers": "select tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) || ' ' || tgenabled::text"
    " from pg_trigger where not tgisinternal",
    "rules": "select tablename || '.' || rulename, definition from pg_rules where schemaname = 'public'",
    "policies": "select tablename || '.' || policyname, to_jsonb(pg_policies)::text from pg_policies",
    "functions": "select oid::regprocedure::text, format('%s, owner %s', pg_get_functiondef(oid), proowner::regrole)"
    " from pg_proc where pronamespace = 'public'::regnamespace",
    "rights on tables": f"select oid::regclass::text, {_rights('relacl', 'r', 'relowner')}"
    " from pg_class where relnamespace = 'public'::regnamespace and relkind not in ('i', 'S')",
    "rights on sequences": f"select oid::regclass::text, {_rights('relacl', 's', 'relowner')}"
    " from pg_class where relnamespace = 'public'::regnamespace and relkind = 'S'",
    "rights on columns": f"select attrelid::regclass || '.' || attname, {_rights('attacl')}"
    " from pg_attribute where attacl is not null",
    "rights on functions": f"select oid::regprocedure::text, {_rights('proacl', 'f', 'proowner')}"
    " from pg_proc where pronamespace = 'public'::regnamespace",
    "rights on schemas": f"select nspname, {_rights('nspacl', 'n', 'nspowner')} from pg_namespace"
    " where nspname !~ '^pg_'",
    "rights by default": "select format('%s of %s in %s', defaclobjtype, defaclrole::regrole,"
    f" defaclnamespace::regnamespace), {_rights('defaclacl')} from pg_default_acl",
    "publications": "select pubname, (to_jsonb(pg_publication) - 'oid')::text from pg_publication",
    "published": "select format('%s in %s', prrelid::regclass, pubname), format('columns %s, rows %s',"
    " array(select attname from pg_attribute where attrelid = prrelid and attnum = any (prattrs) order by attname),"
    " pg_get_expr(prqual, prrelid)) from pg_publication_rel join pg_publication on pg_publication.oid = prpubid",
    "extensions": "select extname, extversion from pg_extension",
    # What PostgreSQL brings has numbers below this one.
    "comments": "select pg_describe_object(classoid, objoid, objsubid), description from pg_description"
    " where objoid >= 16384",
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
def database(project: Project, *, exposed: bool = True) -> Iterator[psycopg.Connection]:
    """An empty project's database on the same server, without an API; gone after the context.

    Args:
        exposed: whether what is made in it is open to the API's roles until it is closed, as `running_project` says.
    """
    name = f"beside_{uuid4().hex}"
    with project.connect() as server:
        server.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            with psycopg.connect(project.postgres.uri(database=name), autocommit=True) as db:
                run_file(db, NEW_PROJECT)
                if not exposed:
                    db.execute(UNEXPOSED)
                yield db
        finally:
            server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def migrate(db: psycopg.Connection, newest: str = "9") -> None:
    """Apply the migrations up to one, or all, each file in one transaction, as the Supabase CLI does."""
    for file in FILES:
        if file.name > newest:
            break
        with db.transaction():
            run_file(db, file)


def migrate_as_before(db: psycopg.Connection, newest: str) -> None:
    """Apply the migrations up to one, with what the first two versions of Darkroom made of them."""
    run_file(db, TABLES_OF_0_1)
    for file in FILES[1:]:
        if file.name > newest:
            break
        with db.transaction():
            run_file(db, file)
        if "watching" in file.name:
            for index, columns in (("page", ""), ("page_of_member", "quel_member_id, ")):
                db.execute(
                    f"create index quel_production_jobs_{index} on quel_production_jobs ({columns}"
                    "coalesce(created_at, 'epoch'), job_id)"
                    " where job_status in ('pending', 'processing', 'completed', 'failed', 'cancelled')"
                )
                other = index.replace("member", "user") if columns else "page_of_all"
                db.execute(f"drop index quel_production_jobs_{other}")


def migrate_after(db: psycopg.Connection, newest: str) -> None:
    """Apply the migrations that came after one, as tools do that remember by name what they applied."""
    for file in FILES:
        if file.name > newest:
            with db.transaction():
                run_file(db, file)


def declare(db: psycopg.Connection) -> None:
    """Apply the declared schema to an empty project, in the order of the Supabase CLI: that of the files' names."""
    with db.transaction():
        for file in DECLARED:
            run_file(db, file)


def statements(file: Path) -> list[str]:
    """The statements of a migration, as `psql -f` sends them one by one."""
    parts = re.split(r"(\$\$.*?\$\$)", re.sub(r"(?m)^--.*\n", "", file.read_text("utf-8")), flags=re.DOTALL)
    whole = "".join(part if part.startswith("$$") else part.replace(";\n", "\0\n") for part in parts)
    return [statement.strip() for statement in whole.split("\0\n") if statement.strip()]
