"""Calls that go together: nobody waits for company, and nobody's trouble is another's."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from darkroom.domain.errors import JobNotFound, OrderRejected, RecordsUnavailable
from darkroom.gathering import Gatherer, Pace, Paced

MOST_TOGETHER, MOST_CALLS = 50, 4


def gatherer(
    send: Callable[[Sequence[int]], Awaitable[Sequence[int | Exception]]],
    patience: float = 60,
    pace: Pace | None = None,
) -> Gatherer[int, int]:
    return Gatherer(send, most_together=MOST_TOGETHER, most_calls=MOST_CALLS, patience=patience, pace=pace)


class Calls:
    """What is sent, and answered once the test lets it: ten times the number that was asked."""

    def __init__(self, patience: float = 60, pace: Pace | None = None) -> None:
        self.sent: list[list[int]] = []
        self.sending = asyncio.Condition()
        self.let_go = asyncio.Event()
        self.fails: BaseException | None = None
        self.errors: dict[int, Exception] = {}
        self.gatherer: Gatherer[int, int] = gatherer(self._send, patience, pace)

    async def _send(self, asked: Sequence[int]) -> Sequence[int | Exception]:
        async with self.sending:
            self.sent.append(list(asked))
            self.sending.notify_all()
        await self.let_go.wait()
        if self.fails is not None:
            raise self.fails
        return [self.errors.get(one, one * 10) for one in asked]

    def ask(self, *numbers: int) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.gatherer.ask(number)) for number in numbers]

    async def until_sent(self, calls: int) -> None:
        async with asyncio.timeout(10), self.sending:
            await self.sending.wait_for(lambda: len(self.sent) >= calls)


async def turns() -> None:
    """Let everything run that is not waiting for the test."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_who_is_alone_goes_alone_and_at_once() -> None:
    calls = Calls()
    calls.let_go.set()
    assert [await calls.gatherer.ask(number) for number in range(3)] == [0, 10, 20]
    assert calls.sent == [[0], [1], [2]]


async def test_what_waits_for_a_call_in_progress_goes_together_in_the_next() -> None:
    calls = Calls()
    first = calls.ask(0)
    await calls.until_sent(1)
    others = calls.ask(1, 2, 3)
    await turns()
    assert calls.sent == [[0]]
    calls.let_go.set()
    assert await asyncio.gather(*first, *others) == [0, 10, 20, 30]
    assert calls.sent == [[0], [1, 2, 3]]


async def test_what_is_asked_in_the_same_moment_goes_together() -> None:
    calls = Calls()
    calls.let_go.set()
    assert await asyncio.gather(*calls.ask(1, 2, 3)) == [10, 20, 30]
    assert calls.sent == [[1, 2, 3]]


async def test_a_full_call_waits_for_none_and_there_are_never_more_than_a_few() -> None:
    calls = Calls()
    waiting = calls.ask(*range(MOST_TOGETHER * (MOST_CALLS + 2)))
    await calls.until_sent(MOST_CALLS)
    await turns()
    assert [len(sent) for sent in calls.sent] == [MOST_TOGETHER] * MOST_CALLS
    calls.let_go.set()
    assert await asyncio.gather(*waiting) == [number * 10 for number in range(len(waiting))]
    assert [len(sent) for sent in calls.sent] == [MOST_TOGETHER] * (MOST_CALLS + 2)


async def test_a_call_that_does_not_end_holds_the_others_up_for_a_moment_only() -> None:
    calls = Calls(patience=0.01)
    first = calls.ask(1)
    await calls.until_sent(1)
    second = calls.ask(2)
    await calls.until_sent(2)
    assert calls.sent == [[1], [2]]
    calls.let_go.set()
    assert await asyncio.gather(*first, *second) == [10, 20]


async def test_patience_counts_for_those_that_a_full_call_left_behind() -> None:
    calls = Calls(patience=0.01)
    waiting = calls.ask(0)
    await calls.until_sent(1)
    waiting += calls.ask(*range(1, MOST_TOGETHER + 3))
    await calls.until_sent(3)
    assert [len(sent) for sent in calls.sent] == [1, MOST_TOGETHER, 2]
    calls.let_go.set()
    await asyncio.gather(*waiting)


async def test_the_first_few_go_at_once_and_then_those_who_come_within_the_interval_go_together() -> None:
    calls = Calls(pace=Pace(0.2, at_once=2))
    calls.let_go.set()
    assert [await calls.gatherer.ask(number) for number in (1, 2)] == [10, 20]
    waiting = []
    for number in (3, 4, 5):
        waiting += calls.ask(number)
        await turns()
    assert calls.sent == [[1], [2]]
    assert await asyncio.gather(*waiting) == [30, 40, 50]
    assert calls.sent == [[1], [2], [3, 4, 5]]


async def test_a_full_call_waits_for_no_interval_and_patience_ends_before_a_long_one() -> None:
    calls = Calls(patience=0.01, pace=Pace(3600))
    calls.let_go.set()
    assert await calls.gatherer.ask(0) == 0
    await asyncio.gather(*calls.ask(*range(MOST_TOGETHER)))
    assert await asyncio.wait_for(calls.gatherer.ask(7), 10) == 70
    assert [len(sent) for sent in calls.sent] == [1, MOST_TOGETHER, 1]


def test_what_begins_out_of_turn_makes_the_next_wait_no_longer_than_an_interval() -> None:
    pace = Pace(100, at_once=3)
    waits = []
    for _ in range(6):
        waits.append(pace.wait())
        pace.begin()
    assert waits[:3] == [0, 0, 0]
    assert all(99 < wait <= 100 for wait in waits[3:])


async def test_a_wait_that_rounds_to_nothing_is_one_all_the_same() -> None:
    calls = Calls(pace=Pace(4e-4))  # which libuv makes none of its milliseconds
    calls.let_go.set()
    assert [await calls.gatherer.ask(number) for number in range(100)] == [number * 10 for number in range(100)]


async def test_many_who_ask_a_paced_function_share_its_next_call() -> None:
    called: asyncio.Queue[int] = asyncio.Queue()
    paced = Paced(lambda: called.put_nowait(1), Pace(0.05))
    for _ in range(5):
        paced.ask()
    assert called.qsize() == 1, "the first is called at once"
    async with asyncio.timeout(10):
        await called.get()
        await called.get()
    assert called.empty()


async def test_who_ask_for_one_after_another_wait_seldom() -> None:
    calls = Calls(pace=Pace(0.3, at_once=50))
    calls.let_go.set()
    called: asyncio.Queue[int] = asyncio.Queue()
    paced = Paced(lambda: called.put_nowait(1), Pace(0.3, at_once=50))
    async with asyncio.timeout(10):  # 150 waits would take 45 s
        for number in range(200):
            assert await asyncio.gather(*calls.ask(number, -number)) == [number * 10, number * -10]
        for _ in range(200):
            paced.ask()
            await called.get()


async def test_each_event_loop_that_asks_is_served() -> None:
    called: list[int] = []
    paced = Paced(lambda: called.append(1), Pace(0.05))

    async def ask_and_wait_for(calls: int) -> None:
        paced.ask()
        async with asyncio.timeout(10):
            while len(called) < calls:
                await asyncio.sleep(0.001)

    await ask_and_wait_for(1)
    await asyncio.to_thread(asyncio.run, ask_and_wait_for(2))
    await ask_and_wait_for(3)


async def test_who_stops_waiting_before_the_call_is_not_asked() -> None:
    calls = Calls()
    first = calls.ask(0)
    await calls.until_sent(1)
    gone, stays = calls.ask(1, 2)
    await turns()
    gone.cancel()
    await turns()
    calls.let_go.set()
    assert await asyncio.gather(*first, stays) == [0, 20]
    assert calls.sent == [[0], [2]]
    assert gone.cancelled()


async def test_who_stops_waiting_during_the_call_takes_nothing_from_the_others() -> None:
    calls = Calls()
    tasks = calls.ask(1, 2, 3)
    await calls.until_sent(1)
    tasks[0].cancel()  # who asked first began the call
    await turns()
    calls.let_go.set()
    assert await asyncio.gather(*tasks[1:]) == [20, 30]
    assert calls.sent == [[1, 2, 3]]


async def test_when_all_stop_waiting_the_next_one_is_served() -> None:
    calls = Calls()
    first = calls.ask(0)
    await calls.until_sent(1)
    gone = calls.ask(1, 2)
    await turns()
    for task in gone:
        task.cancel()
    calls.let_go.set()
    await asyncio.gather(*first)
    await turns()
    assert await calls.gatherer.ask(3) == 30
    assert calls.sent == [[0], [3]]


async def test_a_failure_reaches_everybody_who_waits_for_that_call_and_no_one_else() -> None:
    calls = Calls()
    calls.fails = RecordsUnavailable("records: the connection was lost")
    tasks = calls.ask(1, 2, 3)
    await calls.until_sent(1)
    calls.let_go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["records: the connection was lost"] * 3
    assert {type(answer) for answer in answers} == {RecordsUnavailable}
    assert len({id(answer) for answer in answers}) == 3, "each adds its own way to the traceback"
    calls.fails = None
    assert await calls.gatherer.ask(4) == 40


async def test_an_error_of_one_is_that_ones_alone() -> None:
    calls = Calls()
    calls.errors = {1: JobNotFound("job 1 does not exist"), 3: OrderRejected("document", "is odd")}
    calls.let_go.set()
    answers = await asyncio.gather(*calls.ask(0, 1, 2, 3), return_exceptions=True)
    assert answers[::2] == [0, 20]
    assert [(type(answer), str(answer)) for answer in answers[1::2]] == [
        (JobNotFound, "job 1 does not exist"),
        (OrderRejected, "document: is odd"),
    ]
    assert answers[3].field == "document"  # type: ignore[union-attr]  # an OrderRejected, as the line above says


async def test_an_error_that_is_a_fault_of_ours_reaches_everybody_too() -> None:
    calls = Calls()
    calls.fails = KeyError("code")
    calls.let_go.set()
    answers = await asyncio.gather(*calls.ask(1, 2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [KeyError, KeyError]


async def test_too_few_answers_leave_nobody_waiting() -> None:
    async def one_answer(asked: Sequence[int]) -> Sequence[int | Exception]:
        return list(asked[:1])

    gathers = gatherer(one_answer)
    first, second = [asyncio.create_task(gathers.ask(number)) for number in (1, 2)]
    assert await first == 1
    with pytest.raises(ValueError, match="shorter"):
        await second


async def test_a_call_that_is_cancelled_with_its_loop_leaves_nobody_waiting() -> None:
    calls = Calls()
    calls.fails = asyncio.CancelledError()
    calls.let_go.set()
    [task] = calls.ask(1)
    with pytest.raises(asyncio.CancelledError):
        await task
