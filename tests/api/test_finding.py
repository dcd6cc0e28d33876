"""Jobs get names, are renamed, and are found by name, prompt, id, state and day."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.support.stacks.api import ApiStack, is_a_problem
from tests.support.until import until


async def listed(api: ApiStack, query: str) -> list[UUID]:
    answer = await api.http.get(f"/api/jobs?{query}")
    assert answer.status_code == 200, answer.text
    return [UUID(job["job_id"]) for job in answer.json()["jobs"]]


async def test_a_named_order_is_listed_and_shown_by_its_name(quiet: ApiStack) -> None:
    named, other = await quiet.order(1, name="  Red chairs "), await quiet.order(1, name=" ")
    assert [(await quiet.job(job_id))["name"] for job_id in (named, other)] == ["Red chairs", None]
    jobs = (await quiet.http.get("/api/jobs")).json()["jobs"]
    assert [(job["name"], job["title"]) for job in jobs] == [(None, None), ("Red chairs", "Red chairs")]
    again = (await quiet.http.get(f"/api/jobs/{named}/order")).json()["document"]
    assert again["name"].strip() == "Red chairs"


async def test_a_job_is_renamed_and_loses_its_name(quiet: ApiStack) -> None:
    job_id = await quiet.order(1, name="Red chairs")
    answer = await quiet.http.patch(f"/api/jobs/{job_id}", json={"name": "Blue chairs"})
    assert (answer.status_code, answer.json()["name"], answer.json()["status"]) == (200, "Blue chairs", "pending")
    assert await listed(quiet, "search=blue") == [job_id]
    await quiet.http.post(f"/api/jobs/{job_id}/cancel")
    answer = await quiet.http.patch(f"/api/jobs/{job_id}", json={"name": None})
    assert (answer.json()["name"], answer.json()["status"]) == (None, "cancelled")


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "left\u202eright", "x" * 121])
async def test_a_name_that_could_not_be_shown_is_refused_in_one_line(quiet: ApiStack, name: str) -> None:
    job_id = await quiet.order(1, name="Red chairs")
    renamed = await quiet.http.patch(f"/api/jobs/{job_id}", json={"name": name})
    ordered = await quiet.http.post("/api/jobs", json={"prompt": "a lake", "quantity": 1, "name": name})
    assert (renamed.status_code, ordered.status_code) == (400, 422)
    for answer in (renamed, ordered):
        is_a_problem(answer)
        assert answer.json()["detail"].startswith("name: ")
        assert "\n" not in answer.json()["detail"]
    assert (await quiet.job(job_id))["name"] == "Red chairs"


async def test_only_its_user_renames_a_job(signed: ApiStack) -> None:
    owner, stranger = signed.as_user(await signed.key(uuid4())), signed.as_user(await signed.key(uuid4()))
    order = {"prompt": "a lake", "quantity": 1, "name": "Mine"}
    job_id = (await signed.http.post("/api/jobs", json=order, headers=owner)).json()["job_id"]
    refused = await signed.http.patch(f"/api/jobs/{job_id}", json={"name": "Yours"}, headers=stranger)
    assert refused.status_code == 404
    assert (await signed.http.get("/api/jobs?search=mine", headers=stranger)).json()["jobs"] == []
    [mine] = (await signed.http.get("/api/jobs?search=mine", headers=owner)).json()["jobs"]
    assert (mine["job_id"], mine["name"]) == (job_id, "Mine")


async def test_jobs_are_found_by_prompt_and_state_once_they_run(api: ApiStack) -> None:
    api.provider.gate.clear()
    running, paused = await api.order(1, name="Lemons"), await api.order(1, 1)
    await api.provider.until_calls(3)
    await api.http.post(f"/api/jobs/{paused}/pause")

    async def held() -> bool:
        row = await api.parts.records.job(paused)
        return row is not None and row.paused

    await until(held, "the pause")
    assert await listed(api, "search=stage%201") == [paused]
    assert await listed(api, "search=STAGE%20lemons") == [running]
    assert await listed(api, f"search={str(paused)[:8]}") == [paused]
    assert await listed(api, "status=running") == [running]
    assert await listed(api, "status=paused") == [paused]
    assert await listed(api, "status=processing") == await listed(api, "status=running,paused") == [paused, running]
    today = datetime.now(UTC).date()
    assert await listed(api, f"day={today}") in ([paused, running], [])  # midnight passed
    for day in (today - timedelta(days=2), date.min, date.max):
        assert await listed(api, f"day={day}") == []
    assert await listed(api, "status=short") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=melting", "status"),
        ("day=yesterday", "day"),
        ("day=0", "day"),
        ("search=" + "x" * 201, "search"),
        ("limit=0", "limit"),
    ],
)
async def test_a_filter_that_is_none_is_one_line(quiet: ApiStack, query: str, field: str) -> None:
    answer = await quiet.http.get(f"/api/jobs?{query}")
    is_a_problem(answer)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{field}: ")
    assert "\n" not in answer.json()["detail"]
    page = await quiet.http.get(f"/jobs?{query}", headers={"Accept": "text/html"})
    assert page.status_code == (200 if field == "limit" else 400)


async def test_what_is_searched_for_may_be_any_text(quiet: ApiStack) -> None:
    await quiet.order(1, name="Red chairs")
    for text in ("%25", "_", "%27%3B%20drop%20table", "%00", "%F0%9F%AA%91", "%5C", "%22%3Cb%3E"):
        assert await listed(quiet, f"search=chairs%20{text}") in ([], await listed(quiet, "search=chairs"))
        page = await quiet.http.get(f"/jobs?search={text}")
        assert page.status_code == 200
        assert '"<b>' not in page.text
