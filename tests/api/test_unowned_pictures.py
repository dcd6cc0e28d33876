"""Pictures of anonymous jobs and of rows that nobody owns: no way leads a signed-in user to them."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from darkroom.domain.stored import NewReference
from tests.support.fakes.scripted import tiny_picture
from tests.support.stacks.api import ApiStack


async def anonymous_job(api: ApiStack) -> tuple[UUID, int]:
    """An ended job that nobody owns, and its picture."""
    client = api.parts.client(api.temporal)
    checked = await client.check({"stages": [{"prompt": "a lemon", "quantity": 1}]}, None)
    job_id = (await client.submit(checked)).job_id
    await api.ended_row(job_id)
    [image] = await api.parts.records.delivered_images(job_id, 0, 10)
    return job_id, image.attach_id


async def old_picture(api: ApiStack) -> int:
    """A row as those of before Darkroom are."""
    await api.parts.storage.put("old.png", tiny_picture(), "image/png")
    return await api.parts.records.add_reference(
        NewReference(
            user_id=None, original_name="old.png", path="old.png", size=1, media_type="image/png", sha256="0" * 64
        )
    )


def orders(attach_id: int) -> list[dict[str, Any]]:
    """Every way to name a picture in an order."""
    one = {"attachId": attach_id, "type": "model"}
    return [
        {"stages": [{"prompt": "x", "quantity": 1, "mergedImageAttachId": attach_id}]},
        {"stages": [{"prompt": "x", "quantity": 1, "individualImageAttachIds": [one]}]},
        {"prompt": "x", "quantity": 1, "uploadedAttachIds": [one]},
        {"prompt": "x", "quantity": 1, "mergedImageAttachId": attach_id},
        {"mergedImages": [{"mergedAttachId": attach_id, "wrappingPrompt": "x"}]},
        {"pages": [{"dialogues": ["x"], "attachId": attach_id}]},
        {"basePrompt": "x", "individualImageAttachIds": [one]},
        {"prompt": "A {a}", "rows": [{"a": "b", "references": [attach_id]}]},
        {"prompt": "A {a}", "variables": {"a": ["b"]}, "references": [attach_id]},
    ]


async def test_no_way_leads_a_user_to_a_picture_that_nobody_owns(signed: ApiStack) -> None:
    job_id, made = await anonymous_job(signed)
    old = await old_picture(signed)
    user = signed.as_user(await signed.key(uuid4()))
    operator = signed.as_user(await signed.key(uuid4(), operator=True))
    get = signed.http.get
    for attach_id in (made, old):
        assert (await get(f"/api/attachments/{attach_id}", headers=user)).status_code == 404
        assert (await get(f"/api/attachments/{attach_id}", headers=operator)).status_code == 200
    for path in ("", "/images", "/events", "/archive.zip", "/receipt", "/order", "?wait=1"):
        for at in (f"/api/jobs/{job_id}{path}", f"/jobs/{job_id}"):
            assert (await get(at, headers=user)).status_code == 404, at
    assert (await get("/api/jobs", headers=user)).json()["jobs"] == []
    assert str(job_id) not in (await get("/jobs", headers=user)).text
    for action in ("cancel", "pause", "resume", "restart"):
        assert (await signed.http.post(f"/api/jobs/{job_id}/{action}", headers=user)).status_code == 404
    listed = (await get("/api/jobs", headers=operator)).json()["jobs"]
    assert [job["job_id"] for job in listed] == [str(job_id)]


@pytest.mark.parametrize("of", ["made", "old"])
async def test_no_order_of_a_user_uses_a_picture_that_nobody_owns(signed: ApiStack, of: str) -> None:
    attach_id = (await anonymous_job(signed))[1] if of == "made" else await old_picture(signed)
    user_id = uuid4()
    user = signed.as_user(await signed.key(user_id))
    operator = signed.as_user(await signed.key(uuid4(), operator=True))
    for document in orders(attach_id):
        for path in ("/api/jobs/quote", "/api/jobs"):
            answer = await signed.http.post(path, json=document, headers=user)
            assert answer.status_code == 422, (document, answer.text)
            assert str(attach_id) in answer.json()["detail"]
        quoted = await signed.http.post("/api/jobs/quote", json=document, headers=operator)
        assert quoted.status_code == 200, (document, quoted.text)
    assert await signed.parts.records.job_page(10, user_id=user_id) == []


async def test_an_address_signed_for_one_picture_shows_no_other(signed: ApiStack) -> None:
    _, made = await anonymous_job(signed)
    old = await old_picture(signed)
    user = signed.as_user(await signed.key(uuid4()))
    files = {"file": ("a.png", tiny_picture(), "image/png")}
    own = (await signed.http.post("/api/attachments", files=files, headers=user)).json()
    for given in (own["url"], own["thumbnail_url"]):
        assert (await signed.http.get(given)).status_code == 200
        for other in (made, old):
            for at in ("", "/thumbnail"):
                query = given.partition("?")[2]
                answer = await signed.http.get(f"/pictures/{other}{at}?{query}", headers=user)
                assert answer.status_code == 404
    swapped = own["url"].replace("?", "/thumbnail?")
    assert (await signed.http.get(swapped, headers=user)).status_code == 404


async def test_a_job_that_a_front_end_wrote_shows_and_uses_no_picture_that_nobody_owns(with_tokens: ApiStack) -> None:
    """Its document may name any id; what is shown of it is the user's alone."""
    old = await old_picture(with_tokens)
    user_id = uuid4()
    user = with_tokens.as_user(await with_tokens.key(user_id))
    for document in orders(old):
        job_id = await with_tokens.written(document, user_id)
        answer = await with_tokens.http.get(f"/api/jobs/{job_id}/order", headers=user)
        if answer.status_code == 200:
            assert answer.json()["references"] == {}
        page = await with_tokens.http.get(f"/jobs/{job_id}", headers=user)
        assert page.status_code == 200
        assert f"/pictures/{old}" not in page.text
