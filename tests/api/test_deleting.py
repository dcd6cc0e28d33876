"""Deleting by the API: said first, done once, refused while a job goes on, and nobody else's."""

from uuid import uuid4

import pytest

from tests.support.stacks.api import ApiStack, is_a_problem


async def test_a_delete_is_told_first_then_done_and_the_numbers_stay(api: ApiStack) -> None:
    job_id, other = await api.order(2, name="Red chairs"), await api.order(1)
    ended = await api.ended(job_id)
    await api.ended(other)
    receipt = (await api.http.get(f"/api/jobs/{job_id}/receipt")).json()
    balance = (await api.http.get("/api/account")).json()["balance"]
    [picture, _] = (await api.http.get(f"/api/jobs/{job_id}/images")).json()["images"]
    assert (await api.http.get(picture["url"])).status_code == 200
    told = (await api.http.get(ended["urls"]["deletion"])).json()
    assert (told["pictures"], told["name"], told["refusal"], told["deleted_at"]) == (2, "Red chairs", None, None)
    assert told["bytes"] > 0
    assert (await api.http.get(picture["url"])).status_code == 200
    for _ in range(2):
        deleted = await api.http.delete(f"/api/jobs/{job_id}")
        assert (deleted.status_code, deleted.json()["files_removed"]) == (200, True)
    for url in (picture["url"], picture["thumbnail_url"]):
        assert (await api.http.get(url)).status_code == 404
    job = await api.job(job_id)
    assert (job["completed_images"], job["name"], job["actions"]) == (2, None, [])
    assert job["deleted_at"] is not None
    assert (await api.http.get(f"/api/jobs/{job_id}/images")).json()["images"] == []
    assert (await api.http.get(f"/api/jobs/{job_id}/receipt")).json() == receipt
    assert (await api.http.get("/api/account")).json()["balance"] == balance
    assert [line["job_id"] for line in (await api.http.get("/api/jobs")).json()["jobs"]] == [str(other)]
    for folder in ("generated-images/", "thumbnails/"):
        keys = await api.parts.storage.keys(folder)
        assert [key for key in keys if str(job_id) in key] == []
        assert len([key for key in keys if str(other) in key]) == 1
    for answer in (
        await api.http.post(f"/api/jobs/{job_id}/restart"),
        await api.http.get(f"/api/jobs/{job_id}/order"),
        await api.http.get(f"/api/jobs/{job_id}/archive.zip"),
        await api.http.patch(f"/api/jobs/{job_id}", json={"name": "Ghost"}),
    ):
        is_a_problem(answer)
        assert answer.status_code == 409
        assert "was deleted" in answer.json()["detail"] or "delivered all" in answer.json()["detail"]
    page = await api.http.get(f"/jobs/{job_id}")
    assert page.status_code == 200
    assert "its pictures and prompts are gone" in page.text


async def test_an_order_whose_job_was_deleted_needs_a_new_key(api: ApiStack) -> None:
    order, key = {"prompt": "a lake", "quantity": 1}, {"Idempotency-Key": str(uuid4())}
    job_id = (await api.http.post("/api/jobs", json=order, headers=key)).json()["job_id"]
    await api.ended_row(job_id)
    assert (await api.http.delete(f"/api/jobs/{job_id}")).status_code == 200
    again = await api.http.post("/api/jobs", json=order, headers=key)
    is_a_problem(again)
    assert (again.status_code, "use a new Idempotency-Key" in again.json()["detail"]) == (409, True)


async def test_a_job_that_goes_on_is_refused_and_changes_nothing(quiet: ApiStack) -> None:
    job_id = await quiet.order(2)
    told = (await quiet.http.get(f"/api/jobs/{job_id}/deletion")).json()
    assert told["refusal"] == "is pending; cancel it first, or wait until it ends"
    refused = await quiet.http.delete(f"/api/jobs/{job_id}")
    is_a_problem(refused)
    assert (refused.status_code, refused.json()["detail"]) == (409, f"job {job_id} {told['refusal']}")
    assert (await quiet.job(job_id))["deleted_at"] is None
    await quiet.http.post(f"/api/jobs/{job_id}/cancel")
    assert (await quiet.http.delete(f"/api/jobs/{job_id}")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_the_job_of_another_user_is_not_found(signed: ApiStack, method: str) -> None:
    owner, stranger = signed.as_user(await signed.key(uuid4())), signed.as_user(await signed.key(uuid4()))
    order = {"prompt": "a lake", "quantity": 1}
    job_id = (await signed.http.post("/api/jobs", json=order, headers=owner)).json()["job_id"]
    await signed.ended_row(job_id)
    path = f"/api/jobs/{job_id}" if method == "DELETE" else f"/api/jobs/{job_id}/deletion"
    of_another = await signed.http.request(method, path, headers=stranger)
    of_none = await signed.http.request(method, path.replace(job_id, str(uuid4())), headers=stranger)
    assert (of_another.status_code, of_none.status_code) == (404, 404)
    assert (await signed.http.request(method, path, headers=owner)).status_code == 200
