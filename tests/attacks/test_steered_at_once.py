"""A thousand jobs of two tenants, ordered and steered at once, each also by the other tenant: not one crosses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image

from darkroom.domain.progress import JobStatus
from tests.attacks.world import GREEN, MAGENTA, MARK, SETTINGS, Painter
from tests.support.stacks.api import OPENING_BALANCE, ApiStack, running_api
from tests.support.stacks.temporal_server import running_temporal
from tests.support.stacks.workflow import PRICE
from tests.support.until import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

JOBS = 500
"""Of each tenant."""
ONE_BY_ONE = {**SETTINGS, "stage_concurrency": 1}
"""So that a paused job of two pictures cannot end: only one of them is being made."""
AT_ONCE = 40
"""Requests."""
PATIENCE = 600.0


class Wish(StrEnum):
    """What the owner asks of a job; nobody else's wish counts."""

    NONE = "none"
    CANCEL = "cancel"
    PAUSE = "pause"
    PAUSE_AND_RESUME = "resume"


@dataclass
class Tenant:
    """One of the two."""

    user_id: UUID
    headers: dict[str, str]
    colour: tuple[int, int, int]
    jobs: dict[UUID, Wish]


async def _all(work: Iterable[Callable[[], Awaitable[None]]]) -> None:
    free = asyncio.Semaphore(AT_ONCE)

    async def one(do: Callable[[], Awaitable[None]]) -> None:
        async with free:
            await do()

    await asyncio.gather(*(one(do) for do in work))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiStack]:
    async with (
        running_temporal() as temporal,
        running_api(temporal, tmp_path, provider=Painter(), settings=ONE_BY_ONE) as api,
    ):
        yield api


async def test_a_thousand_jobs_of_two_tenants_are_steered_by_their_owners_alone(api: ApiStack, tmp_path: Path) -> None:
    tenants = []
    for colour in (MAGENTA, GREEN):
        user_id = uuid4()
        tenants.append(Tenant(user_id, api.as_user(await api.key(user_id)), colour, {}))
    api.provider.gate.clear()
    await _all(_orders(api, tenants))
    assert [len(one.jobs) for one in tenants] == [JOBS, JOBS]

    statuses: list[int] = []
    await _all(_steered(api, tenants, statuses))
    assert set(statuses) == {404}, "somebody steered a job of the other tenant's"
    to_pause = {job_id for one in tenants for job_id, wish in one.jobs.items() if wish is Wish.PAUSE}

    async def paused() -> bool:
        return to_pause <= {row.job_id for row in await api.parts.records.unfinished_jobs() if row.paused}

    # A pause holds from the moment at which the job's workflow has written it down.
    await until(paused, "every pause to be taken", PATIENCE)
    api.provider.gate.set()

    async def ended() -> bool:
        return {row.job_id for row in await api.parts.records.unfinished_jobs()} <= to_pause

    await until(ended, "all but the paused jobs to end", PATIENCE)
    await _as_their_owners_wished(api, tenants)
    for tenant in tenants:
        for job_id, wish in tenant.jobs.items():
            if wish is Wish.PAUSE:
                answer = await api.http.post(f"/api/jobs/{job_id}/resume", headers=tenant.headers)
                assert answer.json()["success"], answer.text

    async def all_ended() -> bool:
        return not await api.parts.records.unfinished_jobs()

    await until(all_ended, "the paused jobs to end", PATIENCE)
    await _as_their_owners_wished(api, tenants, resumed=True)
    await _paid_and_coloured(api, tenants, tmp_path)


def _orders(api: ApiStack, tenants: list[Tenant]) -> Iterable[Callable[[], Awaitable[None]]]:
    for number in range(JOBS):
        for tenant in tenants:

            async def order(tenant: Tenant = tenant, number: int = number) -> None:
                text = MARK if tenant.colour == MAGENTA else "of the other"
                document = {"stages": [{"prompt": f"{text} {number}", "quantity": 2}]}
                answer = await api.http.post("/api/jobs", json=document, headers=tenant.headers)
                assert answer.status_code == 202, answer.text
                tenant.jobs[UUID(answer.json()["job_id"])] = list(Wish)[number % len(Wish)]

            yield order


def _steered(api: ApiStack, tenants: list[Tenant], statuses: list[int]) -> Iterable[Callable[[], Awaitable[None]]]:
    """Every job by its owner, and before and after by the other, who wishes everything."""
    first, second = tenants
    for owner, other in ((first, second), (second, first)):
        for job_id, wish in owner.jobs.items():

            async def foreign(job_id: UUID = job_id, other: Tenant = other) -> None:
                for action in ("cancel", "resume", "pause", "restart"):
                    answer = await api.http.post(f"/api/jobs/{job_id}/{action}", headers=other.headers)
                    statuses.append(answer.status_code)

            async def own(job_id: UUID = job_id, owner: Tenant = owner, wish: Wish = wish) -> None:
                for action in {Wish.NONE: (), Wish.PAUSE_AND_RESUME: ("pause", "resume")}.get(wish, (str(wish),)):
                    answer: httpx.Response = await api.http.post(f"/api/jobs/{job_id}/{action}", headers=owner.headers)
                    assert answer.status_code == 200, answer.text
                    assert answer.json()["success"], (wish, answer.text)

            yield foreign
            yield own
            yield foreign


async def _as_their_owners_wished(api: ApiStack, tenants: list[Tenant], *, resumed: bool = False) -> None:
    for tenant in tenants:
        for job_id, wish in tenant.jobs.items():
            row = await api.parts.records.job(job_id)
            assert row is not None
            assert row.user_id == tenant.user_id
            if wish is Wish.PAUSE and not resumed:
                assert (row.status.ended, row.paused) == (False, True), (job_id, row.status)
            else:
                expected = JobStatus.CANCELLED if wish is Wish.CANCEL else JobStatus.COMPLETED
                assert row.status is expected, (job_id, wish, row.status)
                assert wish is Wish.CANCEL or row.completed_images == row.total_images


async def _paid_and_coloured(api: ApiStack, tenants: list[Tenant], home: Path) -> None:
    """Each has paid for their own pictures, which are in their own colour and folder."""
    images = {tenant.user_id: 0 for tenant in tenants}
    owner_of = {job_id: tenant for tenant in tenants for job_id in tenant.jobs}
    after = 0
    while page := await api.parts.records.delivered_images(None, after, 500):
        after = page[-1].attach_id
        for one in page:
            owner = owner_of[one.job_id]
            images[owner.user_id] += 1
            assert f"user-{owner.user_id}/job-{one.job_id}/" in one.path
            with Image.open(home / "files" / one.path) as picture:
                seen = picture.convert("RGB").getpixel((5, 5))
            assert isinstance(seen, tuple)
            assert all(abs(a - b) < 30 for a, b in zip(seen, owner.colour, strict=True)), one.path
    for tenant in tenants:
        account = await api.parts.records.account(tenant.user_id)
        assert account is not None
        assert (account.balance, account.held) == (OPENING_BALANCE - PRICE * images[tenant.user_id], 0)
    assert await api.parts.records.audit() == []
