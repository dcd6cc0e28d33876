"""Two tenants with rows in every table, and everybody who may come for what belongs to one of them."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import jwt
import psycopg
from psycopg import sql
from psycopg.rows import dict_row, scalar_row

from tests.support.supabase.project import MIGRATIONS, Project, new_secret

MARK = "5ec2e7"
"""In every row of the victim's: where it shows up in an answer, something has leaked."""
VICTIM = UUID(f"{MARK}00-0000-4000-8000-000000000001")
OTHER = UUID("0bad0000-0000-4000-8000-000000000001")

OWN_ROWS = ("quel_attach", "quel_credits", "quel_production_jobs", "quel_production_photo")
"""What a signed-in user reads of their own; the rest is for the service role alone."""

_SQL = "\n".join(file.read_text("utf-8") for file in sorted(MIGRATIONS.glob("*.sql")))
TABLES = sorted(set(re.findall(r"create (?:unlogged )?table if not exists public\.(\w+)", _SQL)))
FUNCTIONS = sorted(set(re.findall(r"create or replace function public\.(\w+)", _SQL)))

_NEVER_GIVEN = "attempt_id"
"""A column that PostgreSQL fills always: it would refuse a value of it before it asks who gives it."""

Rows = Mapping[str, list[dict[str, Any]]]
Headers = dict[str, str]

_PLANT = """
insert into quel_member (quel_member_id, quel_member_credit) values (%(user)s, 1000);
insert into quel_organization (org_id, org_name, org_credit, owner_id) values (%(user)s, %(m)s, 500, %(user)s);
insert into quel_organization_member (id, org_id, member_id) values (%(user)s, %(user)s, %(user)s);
insert into quel_production_photo (production_id, quel_member_id, production_status) values (%(user)s, %(user)s, %(m)s);
insert into quel_production_jobs (job_id, job_type, job_status, quel_member_id, production_id, job_input_data,
  current_run_id, unit_price) values (%(user)s, %(m)s, 'processing', %(user)s, %(user)s, '{}', %(m)s, 20);
insert into quel_job_stages (job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images)
  values (%(user)s, 0, 'a label', %(m)s, 3, 3, '1:1', '[]');
insert into quel_job_words (job_id, words) values (%(user)s, %(m)s) on conflict do nothing;
insert into quel_deleted_jobs (job_id, deleted_at, cover) values (%(user)s, now(), %(m)s);
insert into quel_job_runs (run_id, job_id, started_at, opened_at) values (%(m)s, %(user)s, now(), now());
insert into quel_job_requests (job_id, number, request, reason, requested_at)
  values (%(user)s, 1, 'pause', %(m)s, now());
insert into quel_credit_holds (job_id, quel_member_id, amount) values (%(user)s, %(user)s, 40);
insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, reason,
  started_at) values (%(user)s, %(user)s, 0, 1, %(m)s, 0, 'offline', %(m)s, now());
insert into quel_attach (attach_id, attach_file_name, attach_file_path, job_id, stage_index, ordinal, quel_member_id,
  delivered_at) values (%(id)s, %(m)s, %(m)s, %(user)s, 0, 0, %(user)s, now());
insert into quel_earlier_pictures (attach_id, job_id, quel_member_id, place) values (%(id)s, %(user)s, %(user)s, 0);
insert into quel_books (book_id, quel_member_id, base_path) values (%(user)s, %(user)s, %(m)s);
insert into quel_api_keys (key_id, quel_member_id, name, key_hash, created_at)
  values (%(user)s, %(user)s, %(m)s, %(m)s, now());
insert into quel_api_sessions (session_hash, quel_member_id, key_id, created_at, expires_at)
  values (%(m)s, %(user)s, %(user)s, now(), now() + interval '1 day');
insert into quel_credits (user_id, transaction_type, amount, balance_after, attach_idx, job_id, idempotency_key)
  values (%(user)s, 'DEDUCT', -20, 980, %(id)s, %(user)s, %(m)s);
insert into quel_provider_offers (offer_hash, offer, expires_at) values (%(m)s, '{}', now());
insert into quel_api_windows (key, number, count, ends_at) values (%(m)s, %(id)s, 1, now() + interval '1 day');
insert into quel_api_leases (lease_id, kind, holder, ends_at) values (%(m)s, 'STREAM', %(m)s, now() + interval '1 day');
insert into quel_adopted_tables (table_name) values (%(m)s) on conflict do nothing;
insert into quel_words (subject, word, stored) values (%(m)s, %(m)s, %(m)s) on conflict do nothing;
"""


def plant(db: psycopg.Connection) -> None:
    """A row of each tenant in every table."""
    for user, number in ((VICTIM, 1001), (OTHER, 2001)):
        values = {"user": user, "m": f"{user.hex[:6]} only", "id": number}
        psycopg.ClientCursor(db).execute(_PLANT, values)


def dump(project: Project) -> Rows:
    """Every row of every table of `public`, whatever tables there are."""
    with project.connect() as db:
        names = sorted(db.execute("select tablename from pg_tables where schemaname = 'public'").fetchall())
        found: dict[str, list[dict[str, Any]]] = {}
        for (name,) in names:
            query = sql.SQL("select to_jsonb(row) from {} as row order by to_jsonb(row)::text")
            found[name] = db.cursor(row_factory=scalar_row).execute(query.format(sql.Identifier(name))).fetchall()
        return found


def row_of(project: Project, table: str, user: UUID) -> dict[str, Any]:
    """The tenant's row of a table, as JSON; any row of a table that belongs to no tenant."""
    rows = dump(project)[table]
    found = next((row for row in rows if str(user)[:6] in str(row)), rows[0])
    return {name: value for name, value in found.items() if name != _NEVER_GIVEN}


def primary_key(project: Project, table: str) -> list[str]:
    """The columns that tell rows apart."""
    query = (
        "select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = any (indkey)"
        " where indrelid = %s::regclass and indisprimary order by attnum"
    )
    with project.connect() as db:
        return [name for (name,) in db.execute(query, (f"public.{table}",))]


def related(project: Project, table: str) -> list[str]:
    """The tables that a select of this one can embed."""
    query = (
        "select distinct case when conrelid = %(t)s::regclass then confrelid else conrelid end::regclass::text"
        " from pg_constraint where contype = 'f' and %(t)s::regclass in (conrelid, confrelid)"
    )
    with project.connect() as db:
        return [name for (name,) in db.execute(query, {"t": f"public.{table}"})]


def arguments(project: Project, function: str) -> list[dict[str, str]]:
    """For each function of that name its arguments by name, with a value of the victim's that fits the type."""
    query = (
        "select proargnames[:pronargs] as names,"
        " array(select format_type(type, null) from unnest(proargtypes) as type) as types"
        " from pg_proc where pronamespace = 'public'::regnamespace and proname = %s"
    )
    with psycopg.connect(project.database_uri, row_factory=dict_row) as db:
        found = db.execute(query, (function,)).fetchall()
    return [
        {name: _VALUES.get(kind, "{}") for name, kind in zip(one["names"] or [], one["types"], strict=True)}
        for one in found
    ]


_VALUES = {
    "uuid": str(VICTIM),
    "text": f"{MARK} only",
    "integer": "1",
    "bigint": "1001",
    "bigint[]": "{1001}",
    "integer[]": "{1}",
    "boolean": "true",
    "double precision": "1.5",
    "timestamp with time zone": "2030-01-01T00:00:00Z",
    "interval": "1 day",
}


def strangers(project: Project) -> dict[str, Headers]:
    """Headers of everybody who must get nothing of the victim's."""
    now = datetime.now(UTC)
    anonymous = {"apikey": project.anon_key}

    def bearing(token: str) -> Headers:
        return anonymous | {"Authorization": f"Bearer {token}"}

    def signed(secret: str, expires: datetime, **claims: str) -> str:
        return jwt.encode({"iat": now - timedelta(days=2), "exp": expires, **claims}, secret, "HS256")

    tomorrow, wrong = now + timedelta(days=1), new_secret()
    user = {"role": "authenticated", "aud": "authenticated", "sub": str(VICTIM)}
    return {
        "another user": bearing(project.token(OTHER)),
        "anonymous": bearing(project.anon_key),
        "without a key": {},
        "an expired token": bearing(signed(project._secret, now - timedelta(days=1), **user)),
        "a token of another project": bearing(signed(wrong, tomorrow, **user)),
        "a forged service role": bearing(signed(wrong, tomorrow, role="service_role")),
        "an unsigned service role": bearing(jwt.encode({"role": "service_role"}, "", "none")),
    }


def reading(project: Project, table: str) -> Iterator[httpx.Request]:
    """Every way to read a table."""
    row = row_of(project, table, VICTIM)
    key = primary_key(project, table)[0]
    count = {"Prefer": "count=exact"}
    for query in ("select=*", f"{key}=eq.{row[key]}", f"or=({key}.eq.{row[key]},{key}.is.null)", f"order={key}.desc"):
        yield _request(project, "GET", table, query, count)
        yield _request(project, "HEAD", table, query, count)
    for other in related(project, table):
        yield _request(project, "GET", table, f"select=*,{other}(*)", count)
        yield _request(project, "GET", table, f"select=*,{other}!inner(*)", count)


def inserting(project: Project, table: str, row: dict[str, Any]) -> Iterator[httpx.Request]:
    """Every way to insert a row, or to write over it by inserting."""
    keys = primary_key(project, table)
    fresh = {name: value for name, value in row.items() if name not in keys}
    conflict = f"on_conflict={','.join(keys)}"
    for body in (row, [row], fresh, {}):
        yield _request(project, "POST", table, "", {"Prefer": "return=representation"}, body=body)
    for resolution in ("merge-duplicates", "ignore-duplicates"):
        yield _request(project, "POST", table, conflict, {"Prefer": f"resolution={resolution}"}, body=row)
    yield _request(project, "PUT", table, "&".join(f"{key}=eq.{row[key]}" for key in keys), {}, body=row)


def changing(project: Project, table: str, row: dict[str, Any]) -> Iterator[httpx.Request]:
    """Every way to change a row: each of its columns, found by its key, and all rows at once."""
    keys = primary_key(project, table)
    here = "&".join(f"{key}=eq.{row[key]}" for key in keys)
    for name, value in row.items():
        yield _request(project, "PATCH", table, here, {}, body={name: value})
    for prefer in ("return=representation", "return=minimal"):
        yield _request(project, "PATCH", table, "", {"Prefer": prefer}, body={keys[0]: row[keys[0]]})


def deleting(project: Project, table: str, row: dict[str, Any]) -> Iterator[httpx.Request]:
    """Every way to delete a row."""
    key = primary_key(project, table)[0]
    for query in (f"{key}=eq.{row[key]}", f"{key}=not.is.null", ""):
        yield _request(project, "DELETE", table, query, {"Prefer": "return=representation"})


def calling(project: Project, function: str, *, asked_for: bool = True) -> Iterator[httpx.Request]:
    """Every way to call a function; those of `GET` and `HEAD` too, as a rule."""
    for given in arguments(project, function):
        yield _request(project, "POST", f"rpc/{function}", "", {}, body=given)
        if not asked_for:
            continue
        query = str(httpx.QueryParams(given))
        yield _request(project, "GET", f"rpc/{function}", query, {})
        yield _request(project, "HEAD", f"rpc/{function}", query, {})


def _request(
    project: Project, method: str, path: str, query: str, headers: Headers, *, body: object = None
) -> httpx.Request:
    url = f"{project.url}/rest/v1/{path}" + (f"?{query}" if query else "")
    if method == "HEAD":
        headers = headers | {"Connection": "close"}  # PostgREST closes after it, and a second request would be lost
    return httpx.Request(method, url, headers=headers, json=body)


def sent_as(client: httpx.Client, request: httpx.Request, headers: Headers) -> httpx.Response:
    """The answer to the request when somebody with these headers sends it."""
    own = httpx.Request(request.method, request.url, headers={**request.headers, **headers}, content=request.content)
    return client.send(own)
