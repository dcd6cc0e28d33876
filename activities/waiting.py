"""The activity behind the Temporal Schedule that starts waiting jobs."""

from collections.abc import Awaitable, Callable

from temporalio import activity

from activities.errors import at_the_edge


class WaitingActivities:
    """Looks for jobs whose workflow is not there."""

    def __init__(self, start: Callable[[], Awaitable[int]]) -> None:
        self._start = start

    @activity.defn
    @at_the_edge
    async def start_waiting_jobs(self) -> int:
        """Start each of them once; how many there were."""
        return await self._start()
