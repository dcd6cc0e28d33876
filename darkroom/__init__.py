"""Durable orders of generated pictures: exactly the number ordered, charged exactly once, on Temporal.

    async with darkroom.connect() as client:
        submitted = await client.submit(await client.check(document, client.local_user))

docs/embedding.md says the rest. Names are imported when they are first used: `import darkroom` alone loads neither
Temporal's SDK nor a database.
"""

import importlib
from typing import TYPE_CHECKING

from darkroom._version import __version__

if TYPE_CHECKING:
    from darkroom.bootstrap import connect
    from darkroom.client.jobs import Client
    from darkroom.client.results import CheckedOrder, ControlResult, ProgressReading, Submitted
    from darkroom.domain.errors import (
        DarkroomError,
        FileMissing,
        JobNotFound,
        NotPossibleNow,
        OrderRejected,
        RecordsRefused,
        RecordsUnavailable,
        Retryable,
        ServerNotReachable,
        SettingRejected,
        StorageUnavailable,
    )
    from darkroom.domain.progress import JobStatus, Progress
    from darkroom.domain.receipts import Receipt
    from darkroom.domain.stored import DeliveredImage
    from darkroom.settings import Settings

_MODULES = {
    "darkroom.bootstrap": ("connect",),
    "darkroom.client.jobs": ("Client",),
    "darkroom.client.results": ("CheckedOrder", "ControlResult", "ProgressReading", "Submitted"),
    "darkroom.domain.errors": (
        "DarkroomError",
        "FileMissing",
        "JobNotFound",
        "NotPossibleNow",
        "OrderRejected",
        "RecordsRefused",
        "RecordsUnavailable",
        "Retryable",
        "ServerNotReachable",
        "SettingRejected",
        "StorageUnavailable",
    ),
    "darkroom.domain.progress": ("JobStatus", "Progress"),
    "darkroom.domain.receipts": ("Receipt",),
    "darkroom.domain.stored": ("DeliveredImage",),
    "darkroom.settings": ("Settings",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "CheckedOrder",
    "Client",
    "ControlResult",
    "DarkroomError",
    "DeliveredImage",
    "FileMissing",
    "JobNotFound",
    "JobStatus",
    "NotPossibleNow",
    "OrderRejected",
    "Progress",
    "ProgressReading",
    "Receipt",
    "RecordsRefused",
    "RecordsUnavailable",
    "Retryable",
    "ServerNotReachable",
    "SettingRejected",
    "Settings",
    "StorageUnavailable",
    "Submitted",
    "__version__",
    "connect",
]

if not TYPE_CHECKING:  # type checkers see the imports above, and report a name that is not among them

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'darkroom' has no attribute '{name}'")
        found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
