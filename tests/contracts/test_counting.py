"""Rates and leases hold over all processes that share the counters, wherever those are kept."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from limits import RateLimitItemPerDay, RateLimitItemPerMinute

from darkroom.api.allowances import Allowance, Held, Leases
from darkroom.api.problems import Problem
from darkroom.api.sign_in import Caller, SignedInBy
from darkroom.api_limits import ApiLimits
from darkroom.counting import Counting
from darkroom.counting.redis import RatesInRedis
from darkroom.counting.sqlite import FILE, SqliteCounters
from darkroom.counting.supabase import SupabaseCounters
from darkroom.domain.errors import SettingRejected
from darkroom.records.supabase.functions import Functions
from darkroom.supabase import open_supabase
from tests.support.supabase.project import Project
from tests.support.until import until
from tests.support.valkey import running_valkey

CALLER = Caller(user_id=uuid4(), by=SignedInBy.KEY)


@asynccontextmanager
async def two_in_redis(folder: Path) -> AsyncIterator[list[Counting]]:
    with running_valkey(folder) as url:
        yield [RatesInRedis(url, SqliteCounters(folder)) for _ in range(2)]


@pytest.fixture(params=["sqlite", "supabase", "redis"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Counting]]:
    """The counters as two processes have them."""
    async with AsyncExitStack() as stack:
        match request.param:
            case "sqlite":
                opened: list[Counting] = [SqliteCounters(tmp_path) for _ in range(2)]
            case "redis":
                opened = await stack.enter_async_context(two_in_redis(tmp_path))
            case _:
                project: Project = request.getfixturevalue("project")
                opened = [
                    SupabaseCounters(Functions(await open_supabase(project.url, project.service_role_key)))
                    for _ in range(2)
                ]
        yield opened
        for counting in opened:
            await counting.close()


async def test_leases_hold_over_processes(both: list[Counting]) -> None:
    leases = [Leases(counting, ApiLimits(api_streams_per_user=2)) for counting in both]
    async with AsyncExitStack() as held:
        await held.enter_async_context(leases[0].held(Held.STREAM, CALLER))
        await held.enter_async_context(leases[1].held(Held.STREAM, CALLER))
        for process in leases:
            with pytest.raises(Problem, match="the limit of 2 open event streams per user is reached"):
                await held.enter_async_context(process.held(Held.STREAM, CALLER))
    async with leases[0].held(Held.STREAM, CALLER):
        pass


async def test_of_many_at_once_so_many_get_a_lease(both: list[Counting]) -> None:
    taken = await asyncio.gather(*(both[n % 2].lease(str(n), "STREAM", "u", 3, 30) for n in range(20)))
    assert sum(taken) == 3


async def test_rates_hold_over_processes(both: list[Counting]) -> None:
    rates = [Allowance(RateLimitItemPerMinute(10), "changes", counting.rates) for counting in both]
    came = await asyncio.gather(*(rates[turn % 2].spend("a") for turn in range(14)), return_exceptions=True)
    refused = [error for error in came if isinstance(error, Problem)]
    assert len(refused) == 4
    for rate in rates:
        with pytest.raises(Problem, match="rate limit exceeded: 10 changes per minute; try again in") as error:
            await rate.spend("a")
        assert error.value.status == 429
        assert 0 < int(error.value.headers["Retry-After"]) <= 120
        await rate.spend("b")
    days = Allowance(RateLimitItemPerDay(1), "changes", both[0].rates)
    await days.spend("a")
    with pytest.raises(Problem, match="1 changes per day"):
        await days.spend("a")


async def test_what_a_dead_process_held_is_free_again(both: list[Counting]) -> None:
    dead, living = both
    assert await dead.lease("a", "STREAM", "u", 1, 0.2)
    assert not await living.lease("b", "STREAM", "u", 1, 30)

    async def free() -> bool:
        return await living.lease("b", "STREAM", "u", 1, 30)

    await until(free, "the lease to end")
    await dead.renew("a", "STREAM", "u", 30)
    assert not await living.lease("c", "STREAM", "u", 2, 30)


async def test_the_file_is_private(tmp_path: Path) -> None:
    counting = SqliteCounters(tmp_path)
    assert await counting.check()
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    await counting.close()


async def test_what_cannot_be_counted_is_not_refused(tmp_path: Path) -> None:
    broken = SqliteCounters(tmp_path / "nowhere")
    await Allowance(RateLimitItemPerMinute(1), "changes", broken.rates).spend("a")
    async with Leases(broken, ApiLimits(api_streams_per_user=1)).held(Held.STREAM, CALLER):
        pass
    await broken.close()


@pytest.mark.parametrize("url", ["redis://:secret@[", "redis://:secret@127.0.0.1:port"])
async def test_a_wrong_url_of_redis_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    pytest.importorskip("redis")
    with pytest.raises(SettingRejected, match="API_LIMITS_REDIS_URL") as refused:
        RatesInRedis(url, SqliteCounters(tmp_path))
    assert "secret" not in str(refused.value)


async def test_without_its_client_redis_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(SettingRejected, match=r"pip install darkroom\[redis\]"):
        RatesInRedis("redis://127.0.0.1:6379", SqliteCounters(tmp_path))
