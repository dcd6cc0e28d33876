"""Over HTTP an organization pays where the order says so, and the answers tell it."""

from uuid import UUID, uuid4

from darkroom.domain.names import LOCAL_USER
from darkroom.records.sqlite import SqliteRecords
from tests.support.records.fixture import RecordsFixture
from tests.support.records.organizations import organization, set_membership, set_organization
from tests.support.records.tables import SqliteTables
from tests.support.stacks.api import ApiStack, is_a_problem


def records_of(api: ApiStack) -> RecordsFixture:
    records = api.parts.records
    assert isinstance(records, SqliteRecords)
    return RecordsFixture(records, SqliteTables(records))


async def acme(api: ApiStack, balance: int = 500) -> UUID:
    """An organization of the local user."""
    return await organization(records_of(api), balance, [LOCAL_USER])


def order(org_id: UUID | None, quantity: int = 2) -> dict[str, object]:
    named = {} if org_id is None else {"org_id": str(org_id)}
    return {"stages": [{"prompt": "a lemon", "quantity": quantity}], **named}


async def test_the_account_lists_the_organizations_that_one_is_an_active_member_of(quiet: ApiStack) -> None:
    assert (await quiet.http.get("/api/account")).json()["organizations"] == []
    org_id = await acme(quiet)
    left = await acme(quiet)
    await set_membership(records_of(quiet), left, LOCAL_USER, "left")
    [found] = (await quiet.http.get("/api/account")).json()["organizations"]
    assert found == {
        "org_id": str(org_id),
        "name": "Acme",
        "status": "active",
        "balance": 500,
        "held": 0,
        "available": 500,
    }


async def test_a_quote_is_of_the_wallet_that_pays(quiet: ApiStack) -> None:
    org_id = await acme(quiet, 30)
    quote = (await quiet.http.post("/api/jobs/quote", json=order(org_id))).json()
    assert (quote["available"], quote["enough"]) == (30, False)
    assert quote["paid_by"] == {"org_id": str(org_id), "name": "Acme"}
    own = (await quiet.http.post("/api/jobs/quote", json=order(None))).json()
    assert (own["available"], own["enough"], own["paid_by"]) == (100_000, True, None)


async def test_an_organization_is_charged_and_the_job_says_so(api: ApiStack) -> None:
    org_id = await acme(api)
    answer = await api.http.post("/api/jobs", json=order(org_id))
    assert answer.status_code == 202
    job = await api.ended(UUID(answer.json()["job_id"]))
    paid_by = {"org_id": str(org_id), "name": "Acme"}
    assert job["credits"] == {"price": 20, "spent": 40, "held": 0, "paid_by": paid_by}
    receipt = (await api.http.get(job["urls"]["receipt"])).json()
    assert (receipt["org_id"], receipt["total"]["charged"]) == (str(org_id), 40)
    account = (await api.http.get("/api/account")).json()
    assert (account["balance"], account["organizations"][0]["balance"]) == (100_000, 460)
    assert list(await api.parts.records.audit()) == []
    own = await api.ended(await api.order(1))
    assert own["credits"]["paid_by"] is None
    assert "org_id" not in (await api.http.get(own["urls"]["receipt"])).json()


async def test_an_organization_that_cannot_pay_is_one_line_and_nothing_is_created(quiet: ApiStack) -> None:
    org_id, records = await acme(quiet, 30), records_of(quiet)
    short = await quiet.http.post("/api/jobs", json=order(org_id))
    is_a_problem(short)
    assert (short.status_code, short.json()["code"]) == (402, "insufficient_credits")
    assert short.json()["detail"].startswith("insufficient credits: need 40, available 30")
    await set_organization(records, org_id, "suspended")
    suspended = await quiet.http.post("/api/jobs", json=order(org_id))
    is_a_problem(suspended)
    assert (suspended.status_code, suspended.json()["field"]) == (422, "org_id")
    assert f"organization {org_id} is suspended and cannot pay" in suspended.json()["detail"]
    await set_membership(records, org_id, LOCAL_USER, "left")
    for url in ("/api/jobs", "/api/jobs/quote"):
        left = await quiet.http.post(url, json=order(org_id))
        assert (left.status_code, left.json()["field"]) == (422, "org_id")
        assert "is not an active member" in left.json()["detail"]
    assert await quiet.parts.records.job_page(10) == []


async def test_an_organization_of_others_pays_nothing_and_stays_unknown(signed: ApiStack) -> None:
    stranger = uuid4()
    key = await signed.key(stranger)
    there = await acme(signed)
    said = []
    for org_id in (there, uuid4()):
        answer = await signed.http.post("/api/jobs", json=order(org_id), headers=signed.as_user(key))
        assert (answer.status_code, answer.json()["field"]) == (422, "org_id")
        said.append(answer.json()["detail"].replace(str(org_id), "ORG"))
    assert said[0] == said[1]
    answer = await signed.http.get("/api/account", headers=signed.as_user(key))
    assert answer.json()["organizations"] == []


async def test_a_job_that_its_front_end_wrote_down_is_charged_to_the_organization_of_its_row(api: ApiStack) -> None:
    org_id = await acme(api)
    job_id = await api.written({"stages": [{"prompt": "x", "quantity": 1}]}, org_id=org_id)
    await api.parts.client(api.temporal).start_waiting_jobs()
    job = await api.ended(job_id)
    assert (job["status"], job["credits"]["paid_by"]["org_id"]) == ("completed", str(org_id))
    refused = await acme(api)
    await set_organization(records_of(api), refused, "suspended")
    job_id = await api.written({"stages": [{"prompt": "x", "quantity": 1}]}, org_id=refused)
    await api.parts.client(api.temporal).start_waiting_jobs()
    job = await api.ended(job_id)
    assert job["status"] == "failed"
    assert "is suspended and cannot pay" in job["error_message"]
    assert (await api.http.get("/api/account")).json()["balance"] == 100_000
