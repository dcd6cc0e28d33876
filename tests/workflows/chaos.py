"""Activities executed twice: after a lost answer, one after the other, or at the same time."""

import asyncio
import random
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

IMAGE_ACTIVITIES = {"generate", "upload", "attach", "credit"}
JOB_ACTIVITIES = {"open_job", "close_job", "set_control", "record_progress", "next_ordinals"}


class Chaos(Interceptor):
    """Each activity execution may be doubled; which ones follows from the seed."""

    def __init__(self, seed: int, share: float) -> None:
        self._random = random.Random(seed)
        self.share = share
        self.doubled = 0

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Doubling(next, self)

    def choose(self) -> str | None:
        """What happens to this execution."""
        if self._random.random() >= self.share:
            return None
        self.doubled += 1
        return self._random.choice(["again", "overlap", "lost answer"])


class _Doubling(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, chaos: Chaos) -> None:  # noqa: A002
        super().__init__(next)
        self._chaos = chaos

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        if info.activity_type not in IMAGE_ACTIVITIES | JOB_ACTIVITIES:
            return await self.next.execute_activity(input)
        match self._chaos.choose():
            case "again":
                await self.next.execute_activity(input)
                return await self.next.execute_activity(input)
            case "overlap":
                first, _ = await asyncio.gather(self.next.execute_activity(input), self.next.execute_activity(input))
                return first
            case "lost answer" if info.attempt == 1:
                await self.next.execute_activity(input)
                raise ApplicationError("the answer was lost", category=ApplicationErrorCategory.BENIGN)
            case _:
                return await self.next.execute_activity(input)
