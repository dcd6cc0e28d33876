"""The one thing that a signed-in user may write: a pending job of their own, as front ends put orders in."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from darkroom.domain.progress import JobStatus
from darkroom.records.supabase import SupabaseRecords
from tests.support.records.fixture import RecordsFixture
from tests.support.records.tables import PostgresTables
from tests.support.supabase import tenants
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project
from tests.support.supabase.tenants import OTHER, VICTIM, dump

JOBS = "quel_production_jobs"
DOCUMENT = {"prompt": "a red coat", "quantity": 2, "uploadedAttachIds": []}


@pytest.fixture
def planted(project: Project) -> Project:
    with project.connect() as db:
        tenants.plant(db)
    return project


@pytest.fixture
async def fixture(planted: Project) -> AsyncIterator[RecordsFixture]:
    records = SupabaseRecords(await open_project(planted))
    yield RecordsFixture(records, PostgresTables(planted.database_uri))
    await records.close()


@pytest.fixture
def front_end(planted: Project) -> Iterator[httpx.Client]:
    """A browser in which the user OTHER is signed in."""
    headers = {"apikey": planted.anon_key, "Authorization": f"Bearer {planted.token(OTHER)}"}
    with httpx.Client(base_url=f"{planted.url}/rest/v1", headers=headers, timeout=30, verify=False) as client:
        yield client


def order(**columns: object) -> dict[str, Any]:
    return {
        "quel_member_id": str(OTHER),
        "job_status": "pending",
        "job_type": "simple_general",
        "job_input_data": DOCUMENT,
        **columns,
    }


REPRESENTATION = {"Prefer": "return=representation"}


def put_in(front_end: httpx.Client, **columns: object) -> UUID:
    """The id of a new order."""
    answer = front_end.post(JOBS, json=order(**columns), headers=REPRESENTATION)
    return UUID(answer.raise_for_status().json()[0]["job_id"])


def polled(front_end: httpx.Client, job_id: UUID) -> dict[str, Any]:
    """The row as a front end polls it."""
    [row] = front_end.get(f"{JOBS}?job_id=eq.{job_id}").raise_for_status().json()
    return dict(row)


@pytest.mark.parametrize("production", [None, OTHER])
def test_a_user_puts_an_order_in_and_gets_its_row(front_end: httpx.Client, production: UUID | None) -> None:
    given = order(production_id=None if production is None else str(production))
    answer = front_end.post(f"{JOBS}?select=*", json=given, headers=REPRESENTATION)
    assert answer.status_code == 201, answer.text
    [row] = answer.json()
    assert {name: row[name] for name in given} == given
    assert (row["total_images"], row["completed_images"], row["generated_attach_ids"]) == (0, 0, [])
    assert (row["priority"], row["unit_price"], row["current_run_id"]) == (3, None, None)
    assert row["created_at"] is not None
    assert polled(front_end, UUID(row["job_id"])) == row


def test_several_orders_come_in_at_once(front_end: httpx.Client) -> None:
    answer = front_end.post(JOBS, json=[order(), order(job_type="pipeline_stage")], headers=REPRESENTATION)
    assert answer.status_code == 201
    assert len({row["job_id"] for row in answer.json()}) == 2


async def test_the_order_is_found_and_opened_for_the_user_who_put_it_in(
    front_end: httpx.Client, fixture: RecordsFixture
) -> None:
    job_id = put_in(front_end)
    [waiting] = [row for row in await fixture.records.unfinished_jobs(processing=False) if row.job_id == job_id]
    assert (waiting.status, waiting.user_id) == (JobStatus.PENDING, OTHER)
    source = await fixture.records.order_source(job_id)
    assert (source.user_id, source.document, source.opened) == (OTHER, DOCUMENT, False)


ALONE = {
    "another member": order(quel_member_id=str(VICTIM)),
    "no member": order(quel_member_id=None),
    "a member left out": {name: value for name, value in order().items() if name != "quel_member_id"},
    "another user's production": order(production_id=str(VICTIM)),
    "a production that does not exist": order(production_id=str(uuid4())),
    **{
        f"the status {status}": order(job_status=status)
        for status in ("processing", "completed", "failed", "cancelled", "PENDING", "", None)
    },
    **{
        f"the column {name}": order(**{name: value})
        for name, value in {
            "job_id": str(uuid4()),
            "job_name": "mine",
            "total_images": 5,
            "completed_images": 5,
            "failed_images": 0,
            "generated_attach_ids": [1001],
            "error_message": "mine",
            "retry_count": -5,
            "created_at": "2001-01-01T00:00:00Z",
            "started_at": "2001-01-01T00:00:00Z",
            "completed_at": "2001-01-01T00:00:00Z",
            "updated_at": "2001-01-01T00:00:00Z",
            "priority": 1,
            "provider": "offline",
            "book_id": str(VICTIM),
            "org_id": str(VICTIM),
            "unit_price": 0,
            "max_top_ups": 100,
            "max_credits": 0,
            "current_run_id": "mine",
            "paused": True,
            "paused_by_user": True,
            "pause_reason": "mine",
            "quota_until": "2030-01-01T00:00:00Z",
            "cancel_requested": True,
            "cancel_reason": "mine",
            "failing": True,
            "control_version": 100,
            "refreshed_at": "2030-01-01T00:00:00Z",
            "order_type": "storybook",
            "webhook_url": "https://169.254.169.254/",
        }.items()
    },
}


def test_every_column_that_the_user_may_not_give_is_tried(planted: Project) -> None:
    with planted.connect() as db:
        query = "select column_name from information_schema.columns where table_name = %s and table_schema = 'public'"
        columns = {name for (name,) in db.execute(query, (JOBS,))}
    tried = {name.removeprefix("the column ") for name in ALONE if name.startswith("the column ")}
    assert columns == tried | set(order()) | {"production_id"}


@pytest.mark.parametrize("deviation", ALONE)
def test_an_order_that_deviates_is_refused(planted: Project, front_end: httpx.Client, deviation: str) -> None:
    before = dump(planted)
    given = ALONE[deviation]
    columns = ",".join(given)
    for path, body, prefer in (
        (JOBS, given, "return=minimal"),
        (JOBS, given, "return=representation"),
        (f"{JOBS}?columns={columns}", given, "missing=default"),
        (
            JOBS,
            [{**order(), **dict.fromkeys(given, None), **order(), **_with(given, order())}, given],
            "return=minimal",
        ),
        (f"{JOBS}?on_conflict=job_id", given, "resolution=ignore-duplicates"),
    ):
        answer = front_end.post(path, json=body, headers={"Prefer": prefer})
        assert answer.status_code in (400, 403), f"{path} {body} {prefer}: {answer.status_code} {answer.text}"
    assert dump(planted) == before


def _with(given: dict[str, Any], good: dict[str, Any]) -> dict[str, Any]:
    """A good order with the columns of the bad one, for a bulk insert: all rows must have the same."""
    return {name: good.get(name, given[name]) for name in given}


def test_an_order_cannot_write_over_a_row(planted: Project, front_end: httpx.Client) -> None:
    own = str(put_in(front_end))
    before = dump(planted)
    for job_id in (own, str(OTHER), str(VICTIM)):
        for body in (order(job_id=job_id), [order(job_id=job_id), order(job_id=str(uuid4()))]):
            for resolution in ("merge-duplicates", "ignore-duplicates"):
                answer = front_end.post(
                    f"{JOBS}?on_conflict=job_id", json=body, headers={"Prefer": f"resolution={resolution}"}
                )
                assert answer.status_code == 403, answer.text
        assert front_end.put(f"{JOBS}?job_id=eq.{job_id}", json=order(job_id=job_id)).status_code == 403
        assert front_end.patch(f"{JOBS}?job_id=eq.{job_id}", json={"job_status": "cancelled"}).status_code == 403
        assert front_end.delete(f"{JOBS}?job_id=eq.{job_id}").status_code == 403
    assert dump(planted) == before


def test_the_answer_to_an_order_embeds_nothing_of_others(planted: Project, front_end: httpx.Client) -> None:
    before = dump(planted)
    for embedded in ("quel_job_stages(*)", "quel_credit_holds(*)", "quel_job_runs(*)"):
        answer = front_end.post(f"{JOBS}?select=*,{embedded}", json=order(), headers=REPRESENTATION)
        assert answer.status_code == 403, answer.text
    assert dump(planted) == before


def test_text_that_postgres_cannot_keep_is_refused(planted: Project, front_end: httpx.Client) -> None:
    before = dump(planted)
    for text in ("\\u0000", "\\ud800"):
        body = f'{{"quel_member_id": "{OTHER}", "job_status": "pending", "job_input_data": {{"prompt": "{text}"}}}}'
        answer = front_end.post(JOBS, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text
    assert dump(planted) == before


async def test_the_row_pays_whatever_the_document_says(front_end: httpx.Client, fixture: RecordsFixture) -> None:
    """What `open_job` writes for an order that names somebody else: the row ends failed with the message."""
    document = DOCUMENT | {"userId": str(VICTIM)}
    job = fixture.job(OTHER)
    job.job_id = put_in(front_end, job_input_data=document)
    job.run = job.named(1)
    opened = await job.open(rejection=f"user_id: {VICTIM} is not the user who pays for the job ({OTHER})")
    assert opened.failure is not None
    receipt = await job.close(error=opened.failure)
    assert (receipt.status, receipt.ordered, receipt.delivered) == (JobStatus.FAILED, 0, 0)
    shown = polled(front_end, job.job_id)
    assert (shown["job_status"], shown["error_message"]) == ("failed", opened.failure)
