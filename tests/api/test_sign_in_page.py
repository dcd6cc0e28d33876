"""Signing in by the page: a key becomes a cookie, which no other site's page can use."""

from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from darkroom.api.sign_in import COOKIE
from tests.support.stacks.api import ApiStack


async def test_the_page_exchanges_a_key_for_a_cookie_that_no_script_reads(with_tokens: ApiStack) -> None:
    secret = await with_tokens.key(uuid4())
    origin = {"Origin": with_tokens.url}
    refused = await with_tokens.http.post("/sign-in", data={"token": "dk_wrong", "next": "/jobs"}, headers=origin)
    assert refused.status_code == 401
    answer = await with_tokens.http.post("/sign-in", data={"token": secret, "next": "/jobs"}, headers=origin)
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie  # links from mail lead to the page; changes are held to our own origin
    assert (await with_tokens.http.get("/api/jobs")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "after"),
    [
        ("GET", "/jobs?status=failed&cursor=a", "/jobs?status=failed&cursor=a"),
        ("POST", "/jobs/2babfb87-c163-4cce-aa62-34553e45d242/cancel", "/"),
    ],
)
async def test_signing_in_leads_back_to_a_page_that_can_be_looked_at(
    with_tokens: ApiStack, method: str, path: str, after: str
) -> None:
    answer = await with_tokens.http.request(method, path)
    assert parse_qs(urlsplit(answer.headers["location"]).query)["next"] == [after]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_cookie_of_a_page_behind_tls_stays_there(with_tokens: ApiStack, scheme: str) -> None:
    origin = {"Origin": with_tokens.url.replace("http", scheme)}
    answer = await with_tokens.http.post("/sign-in", data={"token": await with_tokens.key(uuid4())}, headers=origin)
    assert answer.status_code == 303
    assert ("; secure" in answer.headers["set-cookie"].lower()) == (scheme == "https")


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/\n/x"]
)
async def test_signing_in_leads_nowhere_else(with_tokens: ApiStack, wanted: str) -> None:
    data = {"token": await with_tokens.key(uuid4()), "next": wanted}
    answer = await with_tokens.http.post("/sign-in", data=data, headers={"Origin": with_tokens.url})
    assert answer.headers["location"] == "/"


async def test_a_cookie_of_another_deployment_does_not_lock_the_local_user_out(quiet: ApiStack) -> None:
    quiet.http.cookies.set(COOKIE, "dk_of_another_home", domain="127.0.0.1", path="/")
    answer = await quiet.http.get("/jobs", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/jobs")
    assert (await quiet.http.get("/api/jobs")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_sites_page_cannot_order(quiet: ApiStack, headers: dict[str, str]) -> None:
    document = {"stages": [{"prompt": "a lemon", "quantity": 1}]}
    answer = await quiet.http.post("/api/jobs", json=document, headers=headers)
    assert answer.status_code == 403
    assert await quiet.parts.records.job_page(10) == []
