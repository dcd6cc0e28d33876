"""Two API processes of one deployment: what a caller may do, they may do once, whichever process they ask."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from darkroom.domain.keys import NewApiKey, hash_of, new_secret
from tests.support.minutes import minute_with_time_left
from tests.support.ports import free_port
from tests.support.stacks.process import OPENING_BALANCE, ProcessStack, running_darkroom
from tests.support.supabase.local import LocalSupabase
from tests.support.tokens import SECRET
from tests.support.until import until
from tests.support.valkey import running_valkey

LIMITS = {
    "API_CHANGES_PER_MINUTE": "6",
    "API_STREAMS_PER_USER": "1",
    "API_WAITS_PER_USER": "1",
    "API_ARCHIVES_PER_USER": "1",
}
LARGE = 20_000_000
"""Bytes of a picture: more than sockets keep for a client that does not read."""


@dataclass
class Two:
    """What a test holds in its hand."""

    darkroom: ProcessStack
    apis: list[httpx.AsyncClient]

    async def user(self) -> dict[str, str]:
        """The header of a new user's key."""
        return await self._key(uuid4())

    async def owner(self) -> dict[str, str]:
        """The same of the user whom the jobs belong to."""
        return await self._key(self.darkroom.user)

    async def _key(self, user: UUID) -> dict[str, str]:
        records, secret = self.darkroom.parts.records, new_secret()
        await records.ensure_member(user, OPENING_BALANCE)
        await records.add_api_key(
            NewApiKey(key_id=uuid4(), user_id=user, name="two", operator=False, key_hash=hash_of(secret))
        )
        return {"Authorization": f"Bearer {secret}"}


@asynccontextmanager
async def api_process(environment: Mapping[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """One, started as a user starts it."""
    url = f"http://127.0.0.1:{environment['API_PORT']}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "darkroom.api"),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:

            async def listens() -> bool:
                assert process.returncode is None, f"the API ended with {process.returncode}"
                try:
                    return (await http.get("/healthz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(listens, "the API to listen", 40)
            yield http
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)


@pytest.fixture(params=[pytest.param(one, marks=pytest.mark.slow) for one in ("sqlite", "postgres", "redis")])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Two]:
    """Two processes over one folder, over one project, or over one folder with their rates in Redis."""
    async with AsyncExitStack() as stack:
        supabase: LocalSupabase | None = None
        more = dict(LIMITS)
        if request.param == "postgres":
            supabase = request.getfixturevalue("supabase")
        elif request.param == "redis":
            more["API_LIMITS_REDIS_URL"] = stack.enter_context(running_valkey(tmp_path))
        darkroom = await stack.enter_async_context(running_darkroom(tmp_path, supabase))
        environment = {**darkroom.environment, **more, "API_HOST": "0.0.0.0", "SUPABASE_JWT_SECRET": SECRET}
        apis = await asyncio.gather(
            *(
                stack.enter_async_context(api_process({**environment, "API_PORT": str(port)}))
                for port in (free_port(), free_port())
            )
        )
        yield Two(darkroom, list(apis))


async def test_a_callers_limits_hold_over_both(two: Two) -> None:
    first, second = two.apis
    await minute_with_time_left()
    await rates_hold(two)
    mine, theirs = await two.owner(), await two.user()
    job_id = await two.darkroom.order(1)
    await streams_hold(first, second, job_id, mine)
    await waits_hold(first, second, job_id, mine)
    await two.darkroom.worker.start({})
    await two.darkroom.receipt(job_id)
    await archives_hold(two, job_id, mine)
    assert (await second.get("/api/jobs", headers=theirs)).status_code == 200


async def rates_hold(two: Two) -> None:
    """Six changes a minute, three of them in each process; another caller has their own."""
    order = {"stages": [{"prompt": "a chair", "quantity": 1}]}
    for headers in (await two.user(), await two.user()):
        statuses = [
            (await two.apis[n % 2].post("/api/jobs/quote", json=order, headers=headers)).status_code for n in range(6)
        ]
        assert statuses == [200] * 6
        for api in two.apis:
            answer = await api.post("/api/jobs/quote", json=order, headers=headers)
            assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True), answer.text


async def streams_hold(first: httpx.AsyncClient, second: httpx.AsyncClient, job_id: UUID, mine: dict[str, str]) -> None:
    """A stream that is open in one process counts in the other, until it ends."""
    path = f"/api/jobs/{job_id}/events"
    for holding, other in ((first, second), (second, first)):
        async with holding.stream("GET", path, headers=mine) as stream:
            assert stream.status_code == 200
            assert (await other.get(path, headers=mine)).status_code == 429

        async def is_free(api: httpx.AsyncClient = other) -> bool:
            async with api.stream("GET", path, headers=mine) as stream:
                return stream.status_code == 200

        await until(is_free, "the stream's place in the other process")


async def waits_hold(first: httpx.AsyncClient, second: httpx.AsyncClient, job_id: UUID, mine: dict[str, str]) -> None:
    """Of two who wait for one job in two processes, one waits."""
    path = f"/api/jobs/{job_id}?wait=3"
    answers = await asyncio.gather(*(api.get(path, headers=mine) for api in (first, second)))
    assert sorted(answer.status_code for answer in answers) == [200, 429]


async def archives_hold(two: Two, job_id: UUID, mine: dict[str, str]) -> None:
    """A download whose client does not read counts in the other process, until it is given up."""
    parts, path = two.darkroom.parts, f"/api/jobs/{job_id}/archive.zip"
    [image] = await parts.records.delivered_images(job_id, 0, 10)
    await parts.storage.put(image.path, bytes(LARGE), "image/webp")
    first, second = two.apis
    async with first.stream("GET", path, headers=mine) as download:
        assert download.status_code == 200
        assert (await second.get(path, headers=mine)).status_code == 429

    async def is_free() -> bool:
        async with second.stream("GET", path, headers=mine) as download:
            return download.status_code == 200

    await until(is_free, "the download's place in the other process", 20)
