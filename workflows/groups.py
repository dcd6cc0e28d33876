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
    """

    def __init__(
        self, alone: Callable[[T], Awaitable[R]], together: Callable[[list[T]], Awaitable[Sequence[R]]], most: int
    ) -> None:
        self._alone = alone
        self._together = together
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._step: asyncio.Task[None] | None = None

    async def take(self, image: T) -> R:
        """Take the step with an image; what became of it.

        Raises:
            ActivityError: its activity, or its group's, failed.
        """
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((image, done))
        if self._step is None:
            self._step = asyncio.create_task(self._take_all())
        return await done

    async def _take_all(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            images = [image for image, _ in group]
            try:
                results = await self._together(images) if len(images) > 1 else [await self._alone(images[0])]
            except Exception as error:  # noqa: BLE001 - every one of them waits for it
                for _, done in group:
                    done.set_exception(error)
            else:
                for (_, done), result in zip(group, results, strict=True):
                    done.set_result(result)
        self._step = None
