"""Says in the log that records or storage are away: Temporal tries again without a word."""

from collections.abc import Callable
from time import monotonic
from typing import Any

import structlog
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from darkroom.domain.errors import RecordsRefused, RecordsUnavailable, StorageUnavailable

log = structlog.get_logger(__name__)

SAY_AGAIN_AFTER = 30.0
"""Seconds: in an outage every image of every job fails again and again, and one line is enough."""

_EVENTS = {
    RecordsUnavailable.__name__: "records unavailable",
    RecordsRefused.__name__: "records refused",
    StorageUnavailable.__name__: "storage unavailable",
}


class OutageLines(Interceptor):
    """One line when activities of this process begin to fail for want of records or storage, and now and then more.

    Args:
        clock: seconds, from anywhere.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}
        self._failed: dict[str, int] = {}

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _Listening(next, self)

    def note(self, error: ApplicationError) -> None:
        """An activity failed."""
        event = _EVENTS.get(error.type or "")
        if event is None:
            return
        self._failed[event] = self._failed.get(event, 0) + 1
        last, now = self._said.get(event), self._clock()
        if last is None or now - last >= SAY_AGAIN_AFTER:
            log.warning(event, reason=error.message, failed=self._failed.pop(event))
            self._said[event] = now


class _Listening(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, lines: OutageLines) -> None:
        super().__init__(following)
        self._lines = lines

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        try:
            return await super().execute_activity(input)
        except ApplicationError as error:
            self._lines.note(error)
            raise
