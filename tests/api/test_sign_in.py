"""Who may ask what: every route with no token, a wrong one, and another user's."""

import re
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.routing import APIRoute

from darkroom.api.routes import deployment, events, jobs, orders, pages, pictures
from darkroom.api.sign_in import COOKIE
from darkroom.domain.stored import NewReference
from tests.support.fakes.scripted import tiny_picture
from tests.support.stacks.api import ApiStack
from tests.support.tokens import token

OPEN = {"/healthz", "/readyz", "/pictures/{attach_id}", "/pictures/{attach_id}/thumbnail", "/sign-in", "/sign-out"}
"""Routes that need no sign-in: pictures carry their permission in their address."""

ROUTES = sorted(
    (method, route.path)
    for module in (orders, jobs, events, pictures, deployment, pages)
    for route in module.router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
)


def bodies(path: str, job_id: UUID) -> dict[str, Any]:
    """A request that would do something if it were allowed."""
    if path in ("/api/jobs", "/api/jobs/quote"):
        return {"json": {"stages": [{"prompt": "a lemon", "quantity": 1}]}}
    if path == "/api/jobs/{job_id}":
        return {"json": {"name": "Another"}}
    if path == "/api/jobs/cancel":
        return {"json": {"job_id": str(job_id)}}
    if path == "/api/attachments":
        return {"files": {"file": ("a.png", b"not yet looked at", "image/png")}}
    return {}


def filled(path: str, job_id: UUID, attach_id: int = 1) -> str:
    return re.sub(
        r"\{(\w+)\}",
        lambda found: {"job_id": str(job_id), "attach_id": str(attach_id), "action": "cancel"}[found[1]],
        path,
    )


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_stranger_gets_in_nowhere(with_tokens: ApiStack, method: str, path: str) -> None:
    if path in OPEN:
        return
    job_id = uuid4()
    wrong: list[dict[str, str]] = [
        {},
        with_tokens.as_user("dk_nobody-has-this-key"),
        with_tokens.as_user("no token at all"),
        with_tokens.as_user(token("another secret, that the project does not know")),
        with_tokens.as_user(token(exp=time.time() - 60)),
        with_tokens.as_user(token(aud="anon")),
        with_tokens.as_user(token(sub=None)),
        with_tokens.as_user(token(sub="not a uuid")),
        {"Authorization": "Basic dTpw"},
        {"Authorization": "Bearer"},
        {"Cookie": f"{COOKIE}=dk_nobody"},
    ]
    for headers in wrong:
        answer = await with_tokens.http.request(
            method, filled(path, job_id), headers=headers, **bodies(path, job_id), follow_redirects=False
        )
        if path.startswith("/api/"):
            assert answer.status_code == 401, (headers, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["code"] == "not_signed_in"
        else:
            assert answer.status_code == 303, (headers, answer.text)
            assert answer.headers["location"].startswith("/sign-in?next=/")
    assert await with_tokens.parts.records.job_page(10) == []


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if "{job_id}" in route[1]])
async def test_another_users_job_is_not_there(with_tokens: ApiStack, method: str, path: str) -> None:
    owner, other = uuid4(), uuid4()
    await with_tokens.key(owner)
    await with_tokens.key(other)
    mine = with_tokens.as_user(token(sub=str(owner)))
    document = {"stages": [{"prompt": "a lemon", "quantity": 1}]}
    ordered = await with_tokens.http.post("/api/jobs", json=document, headers=mine)
    job_id = UUID(ordered.json()["job_id"])
    before = await with_tokens.parts.records.job(job_id)
    theirs = with_tokens.as_user(token(sub=str(other)))
    answer = await with_tokens.http.request(method, filled(path, job_id), headers=theirs, **bodies(path, job_id))
    nowhere = await with_tokens.http.request(method, filled(path, uuid4()), headers=theirs, **bodies(path, job_id))
    assert (answer.status_code, nowhere.status_code) == (404, 404), answer.text
    assert await with_tokens.parts.records.job(job_id) == before


async def test_another_users_attachment_is_not_there(with_tokens: ApiStack, tmp_path: Path) -> None:
    owner, other = uuid4(), uuid4()
    mine, theirs = [with_tokens.as_user(await with_tokens.key(user)) for user in (owner, other)]
    picture = {"file": ("a.png", tiny_picture(), "image/png")}
    attach_id = (await with_tokens.http.post("/api/attachments", files=picture, headers=mine)).json()["attach_id"]
    path = f"/api/attachments/{attach_id}"
    assert (await with_tokens.http.get(path, headers=mine)).status_code == 200
    assert (await with_tokens.http.get(path, headers=theirs)).status_code == 404
    stage = {"prompt": "x", "quantity": 1, "mergedImageAttachId": attach_id}
    answer = await with_tokens.http.post("/api/jobs", json={"stages": [stage]}, headers=theirs)
    assert (answer.status_code, answer.json()["field"]) == (422, "stages[0].references")


async def test_a_picture_that_nobody_owns_is_used_by_operators_only(with_tokens: ApiStack) -> None:
    """As those of rows older than Darkroom: their ids count up, and anybody could try them."""
    user, operator = uuid4(), uuid4()
    theirs = with_tokens.as_user(await with_tokens.key(user))
    trusted = with_tokens.as_user(await with_tokens.key(operator, operator=True))
    await with_tokens.parts.storage.put("old.png", tiny_picture(), "image/png")
    old = NewReference(
        user_id=None, original_name="old.png", path="old.png", size=1, media_type="image/png", sha256="0" * 64
    )
    stage = {"prompt": "x", "quantity": 1, "mergedImageAttachId": await with_tokens.parts.records.add_reference(old)}
    for path in ("/api/jobs", "/api/jobs/quote"):
        answer = await with_tokens.http.post(path, json={"stages": [stage]}, headers=theirs)
        assert (answer.status_code, answer.json()["field"]) == (422, "stages[0].references")
        answer = await with_tokens.http.post(path, json={"stages": [stage]}, headers=trusted)
        assert answer.status_code in (200, 202), answer.text


async def test_a_document_that_no_run_has_opened_shows_nobody_elses_pictures(with_tokens: ApiStack) -> None:
    owner, other = uuid4(), uuid4()
    mine, theirs = [with_tokens.as_user(await with_tokens.key(user)) for user in (owner, other)]
    picture = {"file": ("a.png", tiny_picture(), "image/png")}
    attach_id = (await with_tokens.http.post("/api/attachments", files=picture, headers=mine)).json()["attach_id"]
    stage = {"prompt": "x", "quantity": 1, "mergedImageAttachId": attach_id}
    for user, headers, shown in ((owner, mine, [str(attach_id)]), (other, theirs, [])):
        job_id = await with_tokens.written({"stages": [stage]}, user)
        answer = await with_tokens.http.get(f"/api/jobs/{job_id}/order", headers=headers)
        assert list(answer.json()["references"]) == shown, answer.text
        page = await with_tokens.http.get(f"/jobs/{job_id}", headers=headers)
        assert page.status_code == 200
        assert (f"/pictures/{attach_id}/" in page.text) == bool(shown)


async def test_lists_show_ones_own_jobs_and_operators_all(with_tokens: ApiStack) -> None:
    document = {"stages": [{"prompt": "a lemon", "quantity": 1}]}
    users = [uuid4(), uuid4()]
    for user in users:
        key = await with_tokens.key(user)
        await with_tokens.http.post("/api/jobs", json=document, headers=with_tokens.as_user(key))
    mine = with_tokens.as_user(token(sub=str(users[0])))
    operators = with_tokens.as_user(await with_tokens.key(uuid4(), operator=True))
    assert len((await with_tokens.http.get("/api/jobs", headers=mine)).json()["jobs"]) == 1
    assert len((await with_tokens.http.get("/api/jobs", headers=operators)).json()["jobs"]) == 2
    assert (await with_tokens.http.get("/api/stats", headers=mine)).status_code == 403
    assert (await with_tokens.http.get("/api/stats", headers=operators)).status_code == 200


async def test_a_revoked_key_opens_nothing(with_tokens: ApiStack) -> None:
    secret = await with_tokens.key(uuid4())
    assert (await with_tokens.http.get("/api/jobs", headers=with_tokens.as_user(secret))).status_code == 200
    [key] = await with_tokens.parts.records.api_keys()
    await with_tokens.parts.records.revoke_api_key(key.key_id)
    assert (await with_tokens.http.get("/api/jobs", headers=with_tokens.as_user(secret))).status_code == 401


async def test_a_user_lists_no_other_users_jobs(with_tokens: ApiStack) -> None:
    mine, other = uuid4(), uuid4()
    for user in (mine, other):
        await with_tokens.key(user)
    headers = with_tokens.as_user(token(sub=str(mine)))
    assert (await with_tokens.http.get(f"/api/jobs?userId={mine}", headers=headers)).json()["jobs"] == []
    answer = await with_tokens.http.get(f"/api/jobs?userId={other}", headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (403, "userId")
