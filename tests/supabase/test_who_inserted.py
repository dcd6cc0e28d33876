"""Rows of jobs that a user inserted use what is theirs; a front end's server may use what has no owner."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import httpx
import psycopg
import pytest

from darkroom.domain.errors import OrderRejected
from darkroom.domain.orders import Capabilities, Limits
from darkroom.domain.stored import InsertedBy
from darkroom.orders.intake import Intake
from darkroom.records.supabase import SupabaseRecords
from darkroom.webhooks.egress_policy import EgressPolicy
from tests.support.supabase import tenants
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project
from tests.support.supabase.tenants import OTHER, VICTIM
from tests.support.webhooks.name_server import NameServer

NOBODYS, OWN = 7, 8


@pytest.fixture
def planted(project: Project) -> Project:
    with project.connect() as db:
        tenants.plant(db)
        db.execute("insert into quel_attach (attach_id, quel_member_id) values (7, null), (8, %s)", (OTHER,))
    return project


@pytest.fixture
async def records(planted: Project) -> AsyncIterator[SupabaseRecords]:
    opened = SupabaseRecords(await open_project(planted))
    yield opened
    await opened.close()


@pytest.fixture
def db(planted: Project) -> Iterator[psycopg.Connection]:
    with planted.connect() as connection:
        yield connection


def inserted(project: Project, token: str, *references: int, **columns: object) -> UUID:
    """The id of a job's row that whoever has this token inserts over the API."""
    document = {"prompt": "a coat", "quantity": 1, "uploadedAttachIds": [{"attachId": ref} for ref in references]}
    order = {"quel_member_id": str(OTHER), "job_status": "pending", "job_type": "simple_general"}
    headers = {"apikey": project.anon_key, "Authorization": f"Bearer {token}", "Prefer": "return=representation"}
    body = order | {"job_input_data": document} | columns
    answer = httpx.post(f"{project.url}/rest/v1/quel_production_jobs", json=body, headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()[0]["job_id"])


async def refusal(records: SupabaseRecords, job_id: UUID) -> str | None:
    """The field that the order of a picked-up row is rejected for, as `open_job` checks it."""
    intake = Intake(
        records,
        {"offline": Capabilities(name="offline", aspect_ratios=("16:9",), max_references=14)},
        ("offline",),
        Limits(),
        EgressPolicy(NameServer({})),
    )
    source = await records.order_source(job_id)
    try:
        await intake.check(
            source.document,
            source.user_id,
            job_type=source.job_type,
            production_id=source.production_id,
            inserted_by=source.inserted_by,
        )
    except OrderRejected as error:
        return error.field
    return None


async def test_who_inserted_a_row_is_recorded_with_the_time(
    planted: Project, records: SupabaseRecords, db: psycopg.Connection
) -> None:
    theirs, servers = inserted(planted, planted.token(OTHER)), inserted(planted, planted.service_role_key)
    assert (await records.order_source(theirs)).inserted_by == InsertedBy(user_id=OTHER)
    assert (await records.order_source(servers)).inserted_by is None
    noted = "select by_user, user_id, inserted_at <= clock_timestamp() from quel_job_inserts where job_id = %s"
    assert db.execute(noted, (theirs,)).fetchone() == (True, OTHER, True)
    assert db.execute(noted, (servers,)).fetchone() == (False, None, True)


async def test_references_of_a_row_that_a_user_inserted_are_their_own(
    planted: Project, records: SupabaseRecords
) -> None:
    user, server = planted.token(OTHER), planted.service_role_key
    assert await refusal(records, inserted(planted, user, OWN)) is None
    assert await refusal(records, inserted(planted, user, OWN, NOBODYS)) == "stages[0].references"
    assert await refusal(records, inserted(planted, server, OWN, NOBODYS)) is None


async def test_the_production_of_a_row_that_a_user_inserted_is_their_own(
    planted: Project, records: SupabaseRecords, db: psycopg.Connection
) -> None:
    production = str(OTHER)
    user = inserted(planted, planted.token(OTHER), OWN, production_id=production)
    server = inserted(planted, planted.service_role_key, OWN, production_id=production)
    assert await refusal(records, user) is None
    db.execute("update quel_production_photo set quel_member_id = null where production_id = %s", (production,))
    assert await refusal(records, user) == "production_id"
    assert await refusal(records, server) is None


@pytest.mark.parametrize("named", [VICTIM, None])
async def test_a_row_in_another_users_name_is_rejected_where_a_deployment_lets_them_insert_it(
    planted: Project, records: SupabaseRecords, db: psycopg.Connection, named: UUID | None
) -> None:
    with db.transaction():
        db.execute(
            "create function place(named uuid) returns uuid language sql security definer as"
            " $$ insert into public.quel_production_jobs (quel_member_id, job_type, job_input_data)"
            " values (named, 'simple_general',"
            """ '{"prompt": "a", "quantity": 1, "uploadedAttachIds": [{"attachId": 8}]}')"""
            " returning job_id $$"
        )
        db.execute(
            "select set_config('request.jwt.claims', %s, true)", (f'{{"role": "authenticated", "sub": "{OTHER}"}}',)
        )
        [job_id] = db.execute("select place(%s)", (named,)).fetchone() or ()
    db.execute("drop function place")
    assert await refusal(records, job_id) == "user_id"
