"""Who may ask what: every route with no token, a wrong one, and another user's."""

import hmac
import json
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi.routing import APIRoute
from jwt.algorithms import ECAlgorithm
from temporalio.client import Client

from darkroom.api.routes import deployment, events, jobs, orders, pages, pictures
from darkroom.api.sign_in import COOKIE
from darkroom.domain.errors import SettingRejected
from darkroom.domain.names import LOCAL_USER
from tests.support.fakes.scripted import tiny_picture
from tests.support.stacks.api import ApiStack, running_api

SECRET = "a secret that the project shares with us, long enough"
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


def token(secret: str = SECRET, *, algorithm: str = "HS256", **claims: Any) -> str:
    content = {"sub": str(uuid4()), "aud": "authenticated", "exp": time.time() + 60, **claims}
    return jwt.encode({key: value for key, value in content.items() if value is not None}, secret, algorithm)


@pytest.fixture
async def with_tokens(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    settings = {"api_host": "0.0.0.0", "supabase_jwt_secret": SECRET}
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as api:
        yield api


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


def signed_with_the_public_key(claims: dict[str, Any], public: str) -> str:
    """A token whose author takes the project's public key for a shared secret; PyJWT refuses to make one."""
    header = {"alg": "HS256", "typ": "JWT", "kid": "project-1"}
    parts = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    signature = hmac.digest(public.encode(), ".".join(parts).encode(), "sha256")
    return ".".join([*parts, urlsafe_b64encode(signature).decode().rstrip("=")])


class ProjectKeys(BaseHTTPRequestHandler):
    """A project's JWKS, as Supabase serves it."""

    document: ClassVar[dict[str, Any]] = {}
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        body = json.dumps(self.document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def project_key() -> Iterator[tuple[ec.EllipticCurvePrivateKey, str]]:
    """An asymmetric key of a project, and the address of its JWKS."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": "project-1", "alg": "ES256", "use": "sig"}
    ProjectKeys.document, ProjectKeys.asked = {"keys": [public]}, 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), ProjectKeys)
    Thread(target=server.serve_forever, daemon=True).start()
    yield key, f"http://127.0.0.1:{server.server_port}/jwks.json"
    server.shutdown()
    server.server_close()


async def test_asymmetric_tokens_are_checked_against_the_projects_keys(
    temporal: Client, tmp_path: Path, project_key: tuple[ec.EllipticCurvePrivateKey, str]
) -> None:
    key, address = project_key
    stranger = ec.generate_private_key(ec.SECP256R1())
    claims = {"sub": str(uuid4()), "aud": "authenticated", "exp": time.time() + 60}
    right = jwt.encode(claims, key, "ES256", headers={"kid": "project-1"})
    public = json.dumps(ProjectKeys.document["keys"][0])
    wrong = [
        jwt.encode(claims, stranger, "ES256", headers={"kid": "project-1"}),
        jwt.encode(claims, stranger, "ES256", headers={"kid": "of-nobody"}),
        signed_with_the_public_key(claims, public),
        jwt.encode(claims, "", "none", headers={"kid": "project-1"}),
        jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": "project-1"}),
    ]
    settings = {"api_host": "0.0.0.0", "supabase_jwks_url": address}
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as api:
        assert (await api.http.get("/api/jobs", headers=api.as_user(right))).status_code == 200
        for bad in wrong:
            assert (await api.http.get("/api/jobs", headers=api.as_user(bad))).status_code == 401
        assert (await api.http.get("/api/jobs", headers=api.as_user(right))).status_code == 200
        # An invented key id makes us ask again once in a while, not at each request.
        for _ in range(20):
            await api.http.get("/api/jobs", headers=api.as_user(wrong[1]))
        assert ProjectKeys.asked <= 2


async def test_an_unreachable_project_is_an_outage_and_no_refusal(temporal: Client, tmp_path: Path) -> None:
    settings = {"api_host": "0.0.0.0", "supabase_jwks_url": "http://127.0.0.1:1/jwks.json"}
    key = ec.generate_private_key(ec.SECP256R1())
    claims = {"sub": str(uuid4()), "aud": "authenticated", "exp": time.time() + 60}
    token = jwt.encode(claims, key, "ES256", headers={"kid": "project-1"})
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as api:
        answer = await api.http.get("/api/jobs", headers=api.as_user(token))
        assert (answer.status_code, answer.json()["retryable"]) == (503, True)


async def test_on_this_machine_the_local_user_needs_no_token_but_a_wrong_one_is_wrong(quiet: ApiStack) -> None:
    account = (await quiet.http.get("/api/account")).json()
    assert (account["user_id"], account["signed_in_by"], account["operator"]) == (str(LOCAL_USER), "local", True)
    assert (await quiet.http.get("/api/jobs", headers=quiet.as_user("dk_wrong"))).status_code == 401


async def test_a_cookie_of_another_deployment_does_not_lock_the_local_user_out(quiet: ApiStack) -> None:
    quiet.http.cookies.set(COOKIE, "dk_of_another_home", domain="127.0.0.1", path="/")
    answer = await quiet.http.get("/jobs", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/jobs")
    assert (await quiet.http.get("/api/jobs")).status_code == 200


async def test_it_refuses_to_listen_elsewhere_unless_there_is_something_to_sign_in_with(
    temporal: Client, tmp_path: Path
) -> None:
    async with running_api(temporal, tmp_path, workers=False, settings={"api_host": "192.0.2.1"}) as api:
        with pytest.raises(SettingRejected, match=r"API_HOST=192\.0\.2\.1.*keys create"):
            await api.services.sign_in.check()
        secret = await api.key(uuid4())
        await api.services.sign_in.check()
        [key] = await api.parts.records.api_keys()
        await api.parts.records.revoke_api_key(key.key_id)
        with pytest.raises(SettingRejected):
            await api.services.sign_in.check()
        assert secret not in repr(await api.parts.records.api_keys())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost:8400"}, 200),
        ({"Host": "[::1]:8400"}, 200),
    ],
)
async def test_without_sign_in_only_this_machines_names_are_served(
    quiet: ApiStack, headers: dict[str, str], status: int
) -> None:
    assert (await quiet.http.get("/api/jobs", headers=headers)).status_code == status


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
async def test_behind_a_proxy_nobody_is_the_local_user(quiet: ApiStack, signed: ApiStack, header: str) -> None:
    forwarded = {header: "203.0.113.7"}
    answer = await quiet.http.get("/api/account", headers=forwarded)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "API_HOST" in answer.json()["detail"]
    mine = signed.as_user(await signed.key(uuid4()))
    assert (await signed.http.get("/api/account", headers={**forwarded, **mine})).status_code == 200


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
