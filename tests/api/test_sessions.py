"""The cookie of a browser is a session: no key, with an end, revocable, and what is open in it ends with it."""

import asyncio
import io
import os
import time
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from uuid import UUID, uuid4

import httpx
import pytest
from temporalio.client import Client

from darkroom.api import standing
from darkroom.api.sign_in import COOKIE
from darkroom.domain.keys import NewSession, hash_of, new_session_secret
from tests.support.stacks.api import ApiStack, lines_of, running_api
from tests.support.tokens import SECRET, token
from tests.support.until import until

ORDER = {"stages": [{"prompt": "a lemon", "quantity": 1}]}
WITHIN = 15.0
"""Seconds within which what is open ends."""


async def signed_in(api: ApiStack, secret: str) -> str:
    """The cookie of a new session."""
    answer = await api.http.post("/sign-in", data={"token": secret}, headers={"Origin": api.url})
    assert answer.status_code == 303, answer.text
    api.http.cookies.clear()
    return answer.cookies[COOKIE]


def by_cookie(session: str) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={session}"}


async def ordered(api: ApiStack, secret: str) -> UUID:
    answer = await api.http.post("/api/jobs", json=ORDER, headers=api.as_user(secret))
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["job_id"])


async def status(api: ApiStack, session: str) -> int:
    return (await api.http.get("/api/account", headers=by_cookie(session))).status_code


async def test_the_cookie_is_no_key(with_tokens: ApiStack) -> None:
    """Whoever reads it off a disk or a proxy's log has no key, and nothing that another program takes."""
    secret = await with_tokens.key(uuid4())
    session = await signed_in(with_tokens, secret)
    assert secret not in session
    assert await status(with_tokens, session) == 200
    answer = await with_tokens.http.get("/api/account", headers=with_tokens.as_user(session))
    assert answer.status_code == 401
    for earlier in (secret, token()):
        assert await status(with_tokens, earlier) == 401
        page = await with_tokens.http.get("/jobs", headers=by_cookie(earlier))
        assert page.headers["location"].startswith("/sign-in?")


async def test_each_sign_in_is_another_session(with_tokens: ApiStack) -> None:
    secret = await with_tokens.key(uuid4())
    first, second = await signed_in(with_tokens, secret), await signed_in(with_tokens, secret)
    assert first != second
    with_tokens.http.cookies.set(COOKIE, first, domain="127.0.0.1", path="/")
    third = await with_tokens.http.post("/sign-in", data={"token": secret}, headers={"Origin": with_tokens.url})
    with_tokens.http.cookies.clear()
    assert [await status(with_tokens, one) for one in (first, second, third.cookies[COOKIE])] == [401, 200, 200]


async def test_signing_out_ends_the_session_and_not_only_the_cookie(with_tokens: ApiStack) -> None:
    secret = await with_tokens.key(uuid4())
    session, other = await signed_in(with_tokens, secret), await signed_in(with_tokens, secret)
    answer = await with_tokens.http.post("/sign-out", headers={"Origin": with_tokens.url, **by_cookie(session)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert [await status(with_tokens, one) for one in (session, other)] == [401, 200]


async def test_a_session_ends_with_its_key(with_tokens: ApiStack) -> None:
    secret = await with_tokens.key(uuid4())
    session = await signed_in(with_tokens, secret)
    [key] = await with_tokens.parts.records.api_keys()
    await with_tokens.parts.records.revoke_api_key(key.key_id)
    assert await status(with_tokens, session) == 401


async def test_a_session_ends_with_its_token_and_at_its_own_end(with_tokens: ApiStack) -> None:
    records = with_tokens.parts.records
    for expires, least, most in ((60, 30, 80), (90 * 86_400, 86_000, 86_400)):
        session = await signed_in(with_tokens, token(exp=time.time() + expires))
        found = await records.session(hash_of(session))
        assert found is not None
        assert least < (found.expires_at - datetime.now(UTC)).total_seconds() <= most
    over = new_session_secret()
    past = datetime.now(UTC) - timedelta(seconds=1)
    await records.add_session(NewSession(session_hash=hash_of(over), user_id=uuid4(), key_id=None, expires_at=past))
    assert await status(with_tokens, over) == 401


async def test_an_operators_session_is_an_operators_and_no_others_is(with_tokens: ApiStack) -> None:
    for operator in (True, False):
        session = await signed_in(with_tokens, await with_tokens.key(uuid4(), operator=operator))
        account = (await with_tokens.http.get("/api/account", headers=by_cookie(session))).json()
        assert (account["operator"], account["signed_in_by"]) == (operator, "key")


async def test_sessions_hold_over_several_processes_and_a_restart(temporal: Client, tmp_path: Path) -> None:
    settings = {"api_host": "0.0.0.0", "supabase_jwt_secret": SECRET}
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as first:
        session = await signed_in(first, token(exp=time.time() + 600))
        async with running_api(temporal, tmp_path, workers=False, settings=settings) as second:
            assert await status(second, session) == 200
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as later:
        assert await status(later, session) == 200
        await later.http.post("/sign-out", headers={"Origin": later.url, **by_cookie(session)})
        assert await status(later, session) == 401
    kept = [file for file in os.scandir(tmp_path) if file.name.startswith("records.db")]
    assert kept
    assert all(file.stat().st_mode & 0o077 == 0 for file in kept)


@pytest.mark.parametrize("header", ["Basic dTpw", "Basic", "Digest a", "bearer", "Token x"])
async def test_only_a_bearer_header_counts_as_sign_in(with_tokens: ApiStack, header: str) -> None:
    """A proxy that asks for a password passes its own header on; and browsers send such a one by themselves."""
    session = await signed_in(with_tokens, await with_tokens.key(uuid4()))
    bearer = header.lower().startswith("bearer")
    for also in ({}, by_cookie(session)):
        answer = await with_tokens.http.get("/api/account", headers={"Authorization": header, **also})
        assert answer.status_code == (200 if also and not bearer else 401), (header, answer.text)
    if bearer:
        return
    evil = {"Authorization": header, "Origin": "https://evil.example", **by_cookie(session)}
    for method, path in (("POST", "/api/jobs"), ("POST", "/sign-out"), ("POST", "/sign-in")):
        answer = await with_tokens.http.request(method, path, headers=evil)
        assert answer.status_code == 403, (path, answer.text)
    assert await status(with_tokens, session) == 200


async def streaming(api: ApiStack, job_id: UUID, headers: dict[str, str]) -> AsyncIterator[str]:
    async with api.http.stream("GET", f"/api/jobs/{job_id}/events", headers=headers, timeout=40) as answer:
        assert answer.status_code == 200
        async for line in lines_of(answer):
            yield line


async def until_over(lines: AsyncIterator[str], opened: asyncio.Event) -> None:
    async for line in lines:
        if line.startswith("event: progress"):
            opened.set()


@pytest.mark.parametrize("how", ["sign-out", "revoked by cookie", "revoked by header", "expired"])
async def test_what_is_open_ends_with_its_sign_in(with_tokens: ApiStack, how: str) -> None:
    user = uuid4()
    secret, another = await with_tokens.key(user), await with_tokens.key(user)
    job_id = await ordered(with_tokens, secret)
    session = await signed_in(with_tokens, secret)
    if how == "expired":
        session = await signed_in(with_tokens, token(sub=str(user), exp=time.time() - 6))
    headers = with_tokens.as_user(secret) if how == "revoked by header" else by_cookie(session)
    opened, stays = asyncio.Event(), asyncio.Event()
    stream = asyncio.create_task(until_over(streaming(with_tokens, job_id, headers), opened))
    other = asyncio.create_task(until_over(streaming(with_tokens, job_id, with_tokens.as_user(another)), stays))
    polls = [
        asyncio.create_task(with_tokens.http.get(f"/api/jobs/{job_id}?wait=60&until={it}", headers=headers, timeout=90))
        for it in ("end", "change")
    ]
    async with asyncio.timeout(5):
        await opened.wait()
        await stays.wait()
    began = monotonic()
    if how == "sign-out":
        await with_tokens.http.post("/sign-out", headers={"Origin": with_tokens.url, **by_cookie(session)})
    elif how.startswith("revoked"):
        key = await with_tokens.parts.records.api_key(hash_of(secret))
        assert key is not None
        await with_tokens.parts.records.revoke_api_key(key.key_id)
    async with asyncio.timeout(WITHIN):
        await stream
        ended = await polls[0]
        await polls[1]
    assert monotonic() - began < WITHIN
    assert ended.status_code == 401
    assert not other.done()
    other.cancel()


async def test_an_archive_breaks_off_when_its_key_is_revoked(signed: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads from the storage, which no revocation reaches."""
    monkeypatch.setattr(standing, "EVERY", 0.05)
    secret = await signed.key(uuid4())
    stages = [{"prompt": "a lemon", "quantity": 3}]
    answer = await signed.http.post("/api/jobs", json={"stages": stages}, headers=signed.as_user(secret))
    job_id = UUID(answer.json()["job_id"])
    await signed.ended_row(job_id)
    whole = await signed.http.get(f"/api/jobs/{job_id}/archive.zip", headers=signed.as_user(secret))
    assert len(zipfile.ZipFile(io.BytesIO(whole.content)).namelist()) == 5
    storage, get = signed.parts.storage, signed.parts.storage.get
    [key] = await signed.parts.records.api_keys()
    asked = 0

    async def revoked_meanwhile(name: str) -> bytes | None:
        nonlocal asked
        asked += 1
        if asked == 2:
            await signed.parts.records.revoke_api_key(key.key_id)
            [watch] = signed.services.standing._watches

            async def over() -> bool:
                return watch.over

            await until(over, "the revocation to be noticed")
        return await get(name)

    monkeypatch.setattr(storage, "get", revoked_meanwhile)
    with pytest.raises(httpx.RemoteProtocolError):
        await signed.http.get(f"/api/jobs/{job_id}/archive.zip", headers=signed.as_user(secret))
