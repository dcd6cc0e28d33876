"""Answers wait unread until there is room for them, in the order in which they came, and no longer than is safe."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from darkroom.domain.images import Generated
from darkroom.providers import answer_room
from darkroom.providers.answer_room import MOST, SIZE, AnswerRoom, wait_for_room
from tests.support.fakes.over_http import GEMINI, REQUEST, RUNWARE, PlayedProvider
from tests.support.until import until

LONG = 3600.0


@asynccontextmanager
async def waiting(room: AnswerRoom, *asked: int) -> AsyncIterator[list[asyncio.Task[int]]]:
    """Answers that ask for room one after the other."""
    tasks = []
    for one in asked:
        tasks.append(asyncio.create_task(room.take(one)))
        await asyncio.sleep(0)
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _settled(tasks: Sequence[asyncio.Task[Any]]) -> list[bool]:
    for _ in range(5):
        await asyncio.sleep(0)
    return [task.done() and not task.cancelled() for task in tasks]


async def test_room_is_given_in_the_order_in_which_answers_came() -> None:
    room = AnswerRoom(100, LONG)
    await room.take(80)
    async with waiting(room, 90, 10) as (large, small):
        # The small one would fit, and the large one would never be read if such a one always went first.
        assert await _settled([large, small]) == [False, False]
        room.give_back(80)
        assert await _settled([large, small]) == [True, True]


async def test_an_answer_larger_than_all_room_has_it_for_itself() -> None:
    room = AnswerRoom(100, LONG)
    async with waiting(room, 1_000, 1) as (large, small):
        assert await _settled([large, small]) == [True, False]
        assert large.result() == 100
        room.give_back(large.result())
        assert await _settled([small]) == [True]


@pytest.mark.parametrize("given", [False, True], ids=["while it waits", "as its turn comes"])
async def test_one_that_is_cancelled_holds_nobody_up(*, given: bool) -> None:
    room = AnswerRoom(100, LONG)
    await room.take(100)
    async with waiting(room, 60, 50) as (first, second):
        if given:
            room.give_back(100)
        first.cancel()
        if not given:
            await _settled([first])
            room.give_back(50)
        assert await _settled([first, second]) == [False, True]


async def test_an_answer_of_unknown_length_counts_as_the_largest_of_the_last_few() -> None:
    room = AnswerRoom(SIZE, LONG)
    assert room.expected == MOST
    room.learn(3_000_000)
    assert room.expected == MOST // 2
    room.learn(3_000_000)
    room.learn(3_000_000)
    assert room.expected == 3_000_000
    room.learn(10 * MOST)
    assert room.expected == MOST


async def test_an_answer_without_a_length_takes_the_room_of_one_as_expected() -> None:
    room = AnswerRoom(SIZE, LONG)
    room.learn(1)
    async with room.call():
        await wait_for_room(httpx2.Response(200, headers={"transfer-encoding": "chunked"}))
        async with waiting(room, SIZE - MOST // 2, 1) as (first, second):
            assert await _settled([first, second]) == [True, False]
            room.leave()
            assert await _settled([first, second]) == [True, True]


async def test_nobody_waits_for_ever() -> None:
    """Whoever holds the room may wait for a storage that is away, and the answer that waits is paid for."""
    room = AnswerRoom(100, 0.01)
    await room.take(100)
    assert await room.take(40) == 40
    async with waiting(AnswerRoom(100, LONG), 100, 1) as tasks:
        assert await _settled(tasks) == [True, False]


@pytest.mark.parametrize("played", [GEMINI, RUNWARE], ids=["gemini", "runware"])
async def test_an_answer_is_not_read_before_the_call_before_it_has_staged_its_own(played: PlayedProvider[Any]) -> None:
    room, staged = AnswerRoom(1, LONG), asyncio.Event()
    answered: list[int] = []

    async def call(number: int) -> None:
        async with room.call():
            assert isinstance(await provider.generate(REQUEST), Generated)
            answered.append(number)
            await staged.wait()

    async with played.server(together=2) as server, played.at(server) as provider:
        calls = [asyncio.create_task(call(number)) for number in range(2)]

        async def one_read() -> bool:
            return len(answered) == 1

        await until(one_read, "the first answer")
        staged.set()
        await asyncio.gather(*calls)
    assert sorted(answered) == [0, 1]


@pytest.mark.parametrize("played", [GEMINI, RUNWARE], ids=["gemini", "runware"])
async def test_four_answers_are_read_at_a_time_however_large_they_are(
    played: PlayedProvider[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_room, "MOST", 1)  # each is larger
    room, staged = AnswerRoom(4, LONG), asyncio.Event()
    answered: list[int] = []

    async def call(number: int) -> None:
        async with room.call():
            assert isinstance(await provider.generate(REQUEST), Generated)
            answered.append(number)
            await staged.wait()

    async with played.server(together=5) as server, played.at(server) as provider:
        calls = [asyncio.create_task(call(number)) for number in range(5)]

        async def four_read() -> bool:
            return len(answered) == 4

        await until(four_read, "four answers")
        assert await _settled(calls) == [False] * 5
        assert len(answered) == 4
        staged.set()
        await asyncio.gather(*calls)
    assert sorted(answered) == [0, 1, 2, 3, 4]
    assert 4 * MOST == SIZE


async def test_the_limit_of_a_call_stands_still_while_its_answer_waits() -> None:
    """Whoever takes it for a time-out throws away a picture that is paid for, and asks for another."""
    room = AnswerRoom(1, 3.2)
    await room.take(1)
    async with GEMINI.server() as server, GEMINI.at(server, timeout=timedelta(seconds=3)) as provider, room.call():
        began = asyncio.get_running_loop().time()
        answer = await provider.generate(REQUEST)
        assert asyncio.get_running_loop().time() - began >= 3.2
    assert isinstance(answer, Generated)


async def test_what_is_asked_outside_of_a_call_waits_for_nobody() -> None:
    room = AnswerRoom(1, LONG)
    async with GEMINI.server() as server, GEMINI.at(server) as provider, room.call():
        await room.take(1)
        answer = await asyncio.create_task(provider.generate(REQUEST), context=contextvars.Context())
    assert isinstance(answer, Generated)
