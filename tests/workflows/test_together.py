"""Images that take a step together: none is lost, none waits for company, and a group has its limits."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.groups import Together


class Steps:
    """Records what goes together; each activity ends when it is told to, or after some turns of the loop."""

    def __init__(self, turns: Sequence[int] = (), *, fails: frozenset[int] = frozenset()) -> None:
        self.groups: list[list[int]] = []
        self.under_way = 0
        self.most_under_way = 0
        self._turns = list(turns)
        self._fails = fails

    async def alone(self, image: int) -> int:
        return (await self.together([image]))[0]

    async def together(self, images: list[int]) -> list[int]:
        self.groups.append(images)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        for _ in range(self._turns.pop() if self._turns else 0):
            await asyncio.sleep(0)
        self.under_way -= 1
        if self._fails & set(images):
            raise ValueError(images)
        return [-image for image in images]


@given(
    pauses=st.lists(st.integers(0, 6), max_size=40),
    turns=st.lists(st.integers(0, 6), max_size=40),
    most=st.integers(1, 8),
    at_once=st.integers(1, 3),
    fails=st.frozensets(st.integers(0, 40), max_size=3),
)
def test_every_image_takes_the_step_once(
    pauses: list[int], turns: list[int], most: int, at_once: int, fails: frozenset[int]
) -> None:
    async def lane(together: Together[int, int], image: int, pause: int) -> int | ValueError:
        for _ in range(pause):
            await asyncio.sleep(0)
        try:
            return await together.take(image)
        except ValueError as error:
            return error

    async def run() -> None:
        steps = Steps(turns, fails=fails)
        together = Together(steps.alone, steps.together, most=most, at_once=at_once)
        async with asyncio.timeout(5):
            results = await asyncio.gather(*(lane(together, image, pause) for image, pause in enumerate(pauses)))
        assert sorted(image for group in steps.groups for image in group) == list(range(len(pauses)))
        assert max(map(len, steps.groups), default=0) <= most
        assert steps.most_under_way <= at_once
        for group in steps.groups:
            for image in group:
                failed = isinstance(results[image], ValueError)
                assert failed if fails & set(group) else results[image] == -image

    asyncio.run(run())


async def test_the_next_group_is_what_came_meanwhile() -> None:
    steps = Steps([3, 3, 3])
    together = Together(steps.alone, steps.together, most=3)
    first = asyncio.create_task(together.take(1))
    while not steps.groups:
        await asyncio.sleep(0)
    rest = [asyncio.create_task(together.take(image)) for image in (2, 3, 4, 5)]
    assert await asyncio.gather(first, *rest) == [-1, -2, -3, -4, -5]
    assert steps.groups == [[1], [2, 3, 4], [5]]


@pytest.mark.parametrize(
    ("weights", "groups"),
    [
        ((3, 3, 3, 3), [[3, 3, 3], [3]]),
        ((20, 3, 3), [[20], [3, 3]]),
        ((3, 20, 3), [[3], [20], [3]]),
        ((5, 5, 1), [[5, 5], [1]]),
    ],
)
async def test_a_group_is_no_heavier_than_it_may_be(weights: tuple[int, ...], groups: list[list[int]]) -> None:
    steps = Steps()
    together = Together(steps.alone, steps.together, most=8, weighs=lambda image: image, heaviest=10)
    await asyncio.gather(*(together.take(weight) for weight in weights))
    assert steps.groups == groups
