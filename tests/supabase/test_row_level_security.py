"""Who reads and writes what: every table and every function, by every verb, for everybody, over HTTP."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.support.supabase import tenants
from tests.support.supabase.catalogs import BEFORE
from tests.support.supabase.project import Project, run_file, running_project
from tests.support.supabase.tenants import (
    FUNCTIONS,
    MARK,
    OWN_ROWS,
    TABLES,
    VICTIM,
    Headers,
    dump,
    row_of,
    sent_as,
    strangers,
)

REFUSED = {401, 403}
VERBS = {"POST": tenants.inserting, "PATCH": tenants.changing, "DELETE": tenants.deleting}
HEAD_SAYS_NOTHING = {(b"", None), (b"", "*/*"), (b"", "0-0/*")}
VALID = {"another user", "the owner", "anonymous", "without a key"}
TRIGGERS = {
    "darkroom_keep_columns",
    "darkroom_note_cancelled_row",
    "darkroom_note_earlier_pictures",
    "darkroom_note_insert",
    "darkroom_open_organization",
    "darkroom_set_opening_balance",
}
"""PostgREST offers no trigger functions, to nobody."""


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def planted(migrated: Project) -> Project:
    migrated.reset()
    with migrated.connect() as db:
        tenants.plant(db)
    return migrated


def catalog(project: Project, query: str) -> list[str]:
    with project.connect() as db:
        return sorted(name for (name,) in db.execute(query))


def test_every_table_and_function_of_the_project_is_tried(planted: Project) -> None:
    assert catalog(planted, "select tablename from pg_tables where schemaname = 'public'") == TABLES
    functions = "select distinct proname from pg_proc where pronamespace = 'public'::regnamespace"
    assert catalog(planted, functions) == FUNCTIONS
    rows = dump(planted)
    assert [table for table in TABLES if MARK not in str(rows[table])] == ["quel_schema_versions"]


def test_nothing_else_of_the_project_can_be_reached(planted: Project) -> None:
    others = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('v', 'm', 'f')"
    assert catalog(planted, others) == []
    assert catalog(planted, "select relname from pg_class where relkind = 'p'") == []
    open_tables = (
        "select distinct table_name from information_schema.column_privileges"
        " where table_schema = 'public' and grantee in ('anon', 'PUBLIC')"
    )
    assert catalog(planted, open_tables) == []
    granted = (
        "select privilege_type || ' ' || table_name || ' ' || column_name from information_schema.column_privileges"
        " where table_schema = 'public' and grantee = 'authenticated' and privilege_type <> 'SELECT'"
    )
    columns = ("job_input_data", "job_status", "job_type", "production_id", "quel_member_id")
    assert catalog(planted, granted) == [f"INSERT quel_production_jobs {column}" for column in columns]
    unguarded = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
    assert catalog(planted, f"{unguarded} and not relrowsecurity") == []


def reads_nothing(project: Project, client: httpx.Client, table: str, callers: Mapping[str, Headers]) -> None:
    for request in tenants.reading(project, table):
        query = request.url.query.decode()
        theirs = {"0"} if "eq." in query else {"0", "1"} if "!inner" in query else {"1"}
        for who, headers in callers.items():
            answer = sent_as(client, request, headers)
            tried = f"{who}: {request.method} {request.url}: {answer.status_code} {answer.text}"
            assert MARK not in answer.text, tried
            if who != "another user" or table not in OWN_ROWS:
                assert answer.status_code in REFUSED, tried
            elif answer.status_code not in REFUSED:
                assert answer.headers["content-range"].rpartition("/")[2] in theirs, tried


def owner(project: Project) -> dict[str, Headers]:
    return {"the owner": {"apikey": project.anon_key, "Authorization": f"Bearer {project.token(VICTIM)}"}}


def refused_and_nothing_changes(
    project: Project, client: httpx.Client, requests: Iterable[httpx.Request], callers: Mapping[str, Headers]
) -> None:
    before = dump(project)
    for request in requests:
        for who, headers in callers.items():
            answer = sent_as(client, request, headers)
            tried = f"{who}: {request.method} {request.url} {request.content!r}: {answer.status_code} {answer.text}"
            assert answer.status_code in REFUSED, tried
            assert MARK not in answer.text.replace(str(request.url), ""), tried
    assert dump(project) == before


def calls_nothing(
    project: Project, client: httpx.Client, function: str, callers: Mapping[str, Headers], *, asked_for: bool = True
) -> None:
    for request in tenants.calling(project, function, asked_for=asked_for):
        for who, headers in callers.items():
            answer = sent_as(client, request, headers)
            tried = f"{who}: {request.method} {request.url} {request.content!r}: {answer.status_code} {answer.text}"
            if request.method == "HEAD":
                # PostgREST asks for nothing then, so the function is not even called.
                assert (answer.content, answer.headers.get("content-range")) in HEAD_SAYS_NOTHING, tried
                continue
            assert answer.status_code in REFUSED | ({404} if function in TRIGGERS else set()), tried
            if who in VALID and function not in TRIGGERS:
                # The function was found, with these arguments: it is the permission that is missing.
                assert answer.json()["code"] == "42501", tried


@pytest.mark.parametrize("table", TABLES)
def test_a_stranger_reads_nothing_of_another_user(planted: Project, client: httpx.Client, table: str) -> None:
    reads_nothing(planted, client, table, strangers(planted))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("table", TABLES)
def test_a_stranger_changes_nothing(planted: Project, client: httpx.Client, table: str, verb: str) -> None:
    requests = VERBS[verb](planted, table, row_of(planted, table, VICTIM))
    refused_and_nothing_changes(planted, client, requests, strangers(planted))


@pytest.mark.parametrize("table", TABLES)
def test_an_owner_changes_nothing_either(planted: Project, client: httpx.Client, table: str) -> None:
    row = row_of(planted, table, VICTIM)
    requests = [request for verb in VERBS.values() for request in verb(planted, table, row)]
    refused_and_nothing_changes(planted, client, requests, owner(planted))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("asked_for", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["POST", "all verbs"])
def test_nobody_but_the_service_role_calls_a_function(
    planted: Project, client: httpx.Client, function: str, *, asked_for: bool
) -> None:
    before = dump(planted)
    calls_nothing(planted, client, function, strangers(planted) | owner(planted), asked_for=asked_for)
    assert dump(planted) == before


@pytest.mark.parametrize("table", OWN_ROWS)
def test_an_owner_reads_their_own_rows(planted: Project, client: httpx.Client, table: str) -> None:
    headers = owner(planted)["the owner"] | {"Prefer": "count=exact"}
    answer = client.get(f"{planted.url}/rest/v1/{table}?select=*", headers=headers)
    assert answer.json() == [row_of(planted, table, VICTIM)]
    assert answer.headers["content-range"] == "0-0/1"


def test_images_that_were_not_delivered_are_shown_to_nobody(migrated: Project, client: httpx.Client) -> None:
    migrated.reset()
    with migrated.connect() as db:
        tenants.plant(db)
    with migrated.connect() as db:
        db.execute("update quel_attach set delivered_at = null where quel_member_id = %s", (VICTIM,))
        upload = "insert into quel_attach (attach_id, quel_member_id) values (3001, %s) returning attach_id"
        db.execute(upload, (VICTIM,))
        db.execute("insert into quel_attach (attach_id) values (4001)")
    headers = owner(migrated)["the owner"]
    shown = client.get(f"{migrated.url}/rest/v1/quel_attach?select=attach_id", headers=headers)
    assert shown.json() == [{"attach_id": 3001}]
    for query in ("attach_id=eq.1001", "ordinal=eq.0", "delivered_at=is.null&job_id=not.is.null"):
        answer = client.get(f"{migrated.url}/rest/v1/quel_attach?{query}", headers=headers)
        assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.slow
def test_all_of_this_holds_on_projects_that_grant_nothing_at_first(tmp_path: Path, client: httpx.Client) -> None:
    with running_project(tmp_path, exposed=False) as project:
        project.migrate()
        # PostgREST hears of the new tables a moment later; what it does not know yet is "not found", and no refusal.
        project.reload_schema()
        with project.connect() as db:
            tenants.plant(db)
        nothing_is_reached(project, client, TABLES)
        for table in OWN_ROWS:
            test_an_owner_reads_their_own_rows(project, client, table)


def nothing_is_reached(project: Project, client: httpx.Client, tables: Iterable[str]) -> None:
    """Neither a row of these tables nor a function, by another user or by nobody."""
    callers = {who: headers for who, headers in strangers(project).items() if who in ("another user", "anonymous")}
    for table in tables:
        reads_nothing(project, client, table, callers)
        row = row_of(project, table, VICTIM)
        requests = [request for verb in VERBS.values() for request in verb(project, table, row)]
        refused_and_nothing_changes(project, client, requests, callers)
    for function in FUNCTIONS:
        calls_nothing(project, client, function, callers)


SATISFIED = """
alter table quel_member alter quel_email set default 'a', alter provider set default 'b',
  alter provider_sub set default gen_random_uuid()::text;
alter table quel_production_jobs drop constraint place_of_type, drop constraint quel_production_jobs_job_type_check,
  alter total_images set default 1;
alter table quel_production_photo drop constraint if exists known_production_states,
  alter production_status type text using production_status::text;
"""
"""What the rows of `tenants` need in the tables of a deployment."""


@pytest.mark.slow
@pytest.mark.parametrize("before", [*BEFORE])
def test_what_is_ours_is_closed_beside_tables_that_are_open(tmp_path: Path, client: httpx.Client, before: str) -> None:
    with running_project(tmp_path) as project:
        with project.connect() as db:
            for file in BEFORE[before]:
                run_file(db, file)
        project.migrate()
        with project.connect() as db:
            theirs = {name for (name,) in db.execute("select table_name from quel_adopted_tables")}
            db.execute(SATISFIED)
            tenants.plant(db)
        project.reload_schema()
        assert len(theirs) == 7
        nothing_is_reached(project, client, [table for table in TABLES if table not in theirs])
