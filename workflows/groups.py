"""Steps that images take together: whatever is ready when the last one ended (part of the batch's workflow)."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """One step of the images of a batch: an activity for one that is alone, or for those that came meanwhile.

    No image waits for company: the first one goes at once, and the next group is what came until it is done.

    Args:
        alone: the activity for one.
        together: the activity for several; what became of each, in their order.
        most: how many go together at most.
        at_once: how many groups are on their way at most.
        weighs: what an image weighs.
        heaviest: what a group weighs at most, unless it is one image.
    """

    def __init__(
        self,
        alone: Callable[[T], Awaitable[R]],
        together: Callable[[list[T]], Awaitable[Sequence[R]]],
        *,
        most: int,
        at_once: int = 1,
        weighs: Callable[[T], int] = lambda _image: 0,
        heaviest: int = 0,
    ) -> None:
        self._alone = alone
        self._together = together
        self._most = most
        self._at_once = at_once
        self._weighs = weighs
        self._heaviest = heaviest
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._steps: set[asyncio.Task[None]] = set()
        self._under_way = 0

    async def take(self, image: T) -> R:
        """Take the step with an image; what became of it.

        Raises:
            ActivityError: its activity, or its group's, failed.
        """
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((image, done))
        if self._under_way < self._at_once:
            self._under_way += 1
            step = asyncio.create_task(self._take_all())
            self._steps.add(step)
            step.add_done_callback(self._steps.discard)
        return await done

    async def _take_all(self) -> None:
        while self._waiting:
            group = self._next_group()
            images = [image for image, _ in group]
            try:
                results = await self._together(images) if len(images) > 1 else [await self._alone(images[0])]
            except Exception as error:  # noqa: BLE001 - every one of them waits for it
                for _, done in group:
                    done.set_exception(error)
            else:
                for (_, done), result in zip(group, results, strict=True):
                    done.set_result(result)
        # Here and not when the task is done: an image that comes in between would wait for ever.
        self._under_way -= 1

    def _next_group(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        group = [self._waiting.popleft()]
        weight = self._weighs(group[0][0])
        while self._waiting and len(group) < self._most:
            weight += self._weighs(self._waiting[0][0])
            if weight > self._heaviest:
                break
            group.append(self._waiting.popleft())
        return group
