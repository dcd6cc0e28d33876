"""Activities executed twice: after a lost answer, one after the other, or at the same time."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.images import ImageActivities

IMAGE_ACTIVITIES = {"generate", "upload", "attach", "credit"}


class Chaos(Interceptor):
    """Each activity execution may be doubled; which ones follows from the seed.

    `twin` stands for another worker process, to which the server gave an image because it took the first
    one for dead: it shares records and storage and nothing else.
    """

    def __init__(self, seed: int, share: float) -> None:
        self._random = random.Random(seed)
        self.share = share
        self.doubled = 0
        self.twin: ImageActivities | None = None

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Doubling(next, self)

    def choose(self) -> str | None:
        """What happens to this execution."""
        if self._random.random() >= self.share:
            return None
        self.doubled += 1
        return self._random.choice(["again", "overlap", "twin", "lost answer"])

    def either(self, answers: Sequence[Any]) -> Any:
        """One of the answers."""
        return self._random.choice(answers)


class _Doubling(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, chaos: Chaos) -> None:  # noqa: A002
        super().__init__(next)
        self._chaos = chaos

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        match self._chaos.choose():
            case "again":
                await self.next.execute_activity(input)
                return await self.next.execute_activity(input)
            case "overlap":
                first, _ = await asyncio.gather(self.next.execute_activity(input), self.next.execute_activity(input))
                return first
            case "twin" if info.activity_type in IMAGE_ACTIVITIES and self._chaos.twin is not None:
                other = getattr(self._chaos.twin, info.activity_type)
                answers: Sequence[Any] = await asyncio.gather(
                    self.next.execute_activity(input), other(*input.args), return_exceptions=True
                )
                # The server hears of one of them; which one is chance.
                heard = self._chaos.either(answers)
                if isinstance(heard, BaseException):
                    raise heard
                return heard
            case "lost answer" if info.attempt == 1:
                await self.next.execute_activity(input)
                raise ApplicationError("the answer was lost", category=ApplicationErrorCategory.BENIGN)
            case _:
                return await self.next.execute_activity(input)
