"""What stands before the ports of a proof's workers: failures on demand, and activities delivered twice.

`ports.json` in the run's folder says which share of the calls fails how, from the next one on:

- `storage-before`, `storage-after`: refused, or written and then not acknowledged
- `storage-unheard`: a staged picture is written, and its writer hears nothing for a minute
- `records-before`, `records-after`: a full disk, or committed and then not acknowledged
- `twice`: an activity is executed a second time after it has succeeded
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from darkroom.domain.errors import RecordsUnavailable, StorageUnavailable

PORTS_FILE = "ports.json"
FOLDER_VARIABLE = "DARKROOM_PROOF_FOLDER"
STAGING = "staging/"
UNHEARD = 60.0
CHANGING = frozenset(
    {
        *("put", "delete", "begin_attempt", "finish_attempt", "attach", "attach_group", "settle", "settle_group"),
        *("open_run", "close_run", "set_control", "refresh", "drop_undelivered", "record_faults", "finish_book"),
    }
)

Method = Callable[..., Awaitable[Any]]


class Shares:
    """The shares that hold now."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / PORTS_FILE
        self._random = random.Random()  # noqa: S311 - no secret

    def strikes(self, name: str) -> bool:
        """Whether this one is among those that fail."""
        try:
            shares: dict[str, float] = json.loads(self._file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        return self._random.random() < shares.get(name, 0)


class FailingPort:
    """A port whose changing methods fail before or after they have done their work."""

    def __init__(self, port: object, name: str, shares: Shares) -> None:
        self._port = port
        self._name = name
        self._shares = shares

    def __getattr__(self, attribute: str) -> Any:
        method = getattr(self._port, attribute)
        return self._failing(method) if attribute in CHANGING else method

    def _failing(self, method: Method) -> Method:
        @wraps(method)
        async def failing(*args: Any, **kwargs: Any) -> Any:
            if self._shares.strikes(f"{self._name}-before"):
                raise self._error("refused, by the proof")
            result = await method(*args, **kwargs)
            if args and str(args[0]).startswith(STAGING) and self._shares.strikes("storage-unheard"):
                await asyncio.sleep(UNHEARD)
            if self._shares.strikes(f"{self._name}-after"):
                raise self._error("done and not acknowledged, by the proof")
            return result

        return failing

    def _error(self, how: str) -> Exception:
        return StorageUnavailable(how) if self._name == "storage" else RecordsUnavailable(f"disk is full: {how}")


class DeliveredTwice(Interceptor):
    """Executes activities again that have succeeded, as after a lost acknowledgement."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Every activity of this worker."""
        return _Twice(next, self._shares)


class _Twice(ActivityInboundInterceptor):
    def __init__(self, next_one: ActivityInboundInterceptor, shares: Shares) -> None:
        super().__init__(next_one)
        self._shares = shares

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        result = await super().execute_activity(input)
        if self._shares.strikes("twice"):
            return await super().execute_activity(input)
        return result
