"""Tokens of a project's users, checked against the keys that the project publishes."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm
from temporalio.client import Client

from darkroom.api import project_keys
from tests.support.stacks.api import running_api
from tests.support.until import until


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


RELEASED = Event()


def stand_still(asked: BaseHTTPRequestHandler) -> None:
    """What a key server does that takes a request and does not answer it."""
    type(asked).asked += 1  # type: ignore[attr-defined]
    RELEASED.wait(60)


async def test_users_wait_for_no_key_server_that_hangs(
    temporal: Client,
    tmp_path: Path,
    project_key: tuple[ec.EllipticCurvePrivateKey, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One fetch for all; who has a known key is served by it at once, however old it is."""
    key, address = project_key
    known, unknown = (
        jwt.encode(
            {"sub": str(uuid4()), "aud": "authenticated", "exp": time.time() + 60}, key, "ES256", headers={"kid": kid}
        )
        for kid in ("project-1", "project-2")
    )
    settings = {"api_host": "0.0.0.0", "supabase_jwks_url": address}
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as api:
        assert (await api.http.get("/api/account", headers=api.as_user(known))).status_code == 200
        RELEASED.clear()
        monkeypatch.setattr(ProjectKeys, "do_GET", stand_still)
        # As it is when the keys are no longer fresh, and somebody comes with a key that nobody knows.
        for name in ("FRESH_FOR", "ASK_AGAIN_AFTER"):
            monkeypatch.setattr(project_keys, name, 0.0)
        monkeypatch.setattr(project_keys, "PATIENCE", 6.0)

        async def status(token: str) -> int:
            return (await api.http.get("/api/account", headers=api.as_user(token))).status_code

        strangers = [asyncio.create_task(status(unknown)) for _ in range(3)]

        async def asked() -> bool:
            return ProjectKeys.asked > 1

        await until(asked, "the key server to be asked")
        assert await asyncio.gather(*(status(known) for _ in range(6))) == [200] * 6
        assert not any(one.done() for one in strangers), "users are answered while the others wait"
        assert ProjectKeys.asked == 2
        assert await asyncio.gather(*strangers) == [503] * 3
        RELEASED.set()


async def test_a_key_server_that_says_nothing_usable_leaves_what_is_known(
    temporal: Client,
    tmp_path: Path,
    project_key: tuple[ec.EllipticCurvePrivateKey, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, address = project_key
    claims = {"sub": str(uuid4()), "aud": "authenticated", "exp": time.time() + 60}
    known = jwt.encode(claims, key, "ES256", headers={"kid": "project-1"})
    settings = {"api_host": "0.0.0.0", "supabase_jwks_url": address}
    for name in ("FRESH_FOR", "ASK_AGAIN_AFTER"):
        monkeypatch.setattr(project_keys, name, 0.0)
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as api:
        answers: tuple[Any, ...] = (
            ProjectKeys.document,
            [],
            {"keys": "x" * 10},
            {"keys": [{"kty": "EC"}]},
            {"keys": "x" * 300_000},
        )
        for document in answers:
            monkeypatch.setattr(ProjectKeys, "document", document)
            before = ProjectKeys.asked

            async def fetched(before: int = before) -> bool:
                assert (await api.http.get("/api/account", headers=api.as_user(known))).status_code == 200
                return ProjectKeys.asked > before + 1  # one was perhaps in progress

            await until(fetched, "the keys to be fetched")
            assert (await api.http.get("/api/account", headers=api.as_user(known))).status_code == 200
