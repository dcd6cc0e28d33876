"""Turns: who asks for much waits behind themselves."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.fair_queue import FairQueue
from tests.support.until import until


async def order_of(queue: FairQueue, wishes: str) -> str:
    """In which order wishes are granted, each a user's letter, while one place is free at a time."""
    granted: list[str] = []

    async def work(user: str) -> None:
        async with queue.turn(user):
            granted.append(user)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(user) for user in wishes))
    return "".join(granted)


@pytest.mark.parametrize(
    ("wishes", "granted"), [("aaaab", "abaaa"), ("aaabbbcc", "abcabcab"), ("abab", "abab"), ("aab", "aba")]
)
async def test_users_take_turns(wishes: str, granted: str) -> None:
    assert await order_of(FairQueue(1, 1), wishes) == granted


async def test_who_has_no_name_has_turns_too() -> None:
    async with asyncio.timeout(5), FairQueue(1, 1).turn(None):
        pass


async def test_a_user_never_has_all_places() -> None:
    queue = FairQueue(2, 1)
    async with AsyncExitStack() as held:
        await held.enter_async_context(queue.turn("a"))
        second = asyncio.create_task(held.enter_async_context(queue.turn("a")))
        await asyncio.wait_for(held.enter_async_context(queue.turn("b")), 5)
        assert not second.done()
        second.cancel()
        await asyncio.wait([second])
    assert (queue._waiting, queue._working) == ({}, {})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
async def test_who_goes_away_takes_no_place_along(wishes: list[tuple[str, bool]]) -> None:
    queue, go_on = FairQueue(2, 1), asyncio.Event()

    async def work(user: str) -> None:
        async with queue.turn(user):
            await go_on.wait()

    tasks = [(asyncio.create_task(work(user)), leaves) for user, leaves in wishes]
    await asyncio.sleep(0)
    for task, leaves in tasks:
        if leaves:
            task.cancel()
    go_on.set()
    await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
    assert all(task.cancelled() or task.result() is None for task, _ in tasks)
    assert (queue._waiting, queue._working) == ({}, {})


async def test_a_place_that_is_granted_to_who_just_left_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, entered = FairQueue(1, 1), asyncio.Event()

    async def second() -> None:
        async with queue.turn("b"):
            entered.set()

    async with queue.turn("a"):
        leaving = asyncio.create_task(second())

        async def waits() -> bool:
            return "b" in queue._waiting

        await until(waits, "the second to wait")
    leaving.cancel()  # its place is granted, and it has not run since
    await asyncio.wait([leaving])
    assert not entered.is_set()
    async with asyncio.timeout(5), queue.turn("c"):
        pass
