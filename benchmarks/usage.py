"""What processes use: the processor time and the memory of a process together with its children."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

EVERY = 0.1
"""Seconds between two looks at the memory; each costs the processes that are looked at some milliseconds."""


@dataclass
class Peak:
    """The most memory that was seen."""

    bytes: int = 0


def family(pid: int) -> list[psutil.Process]:
    """A process and all that came from it and still run."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """User and system time so far, with that of the children, the ended ones included."""
    total = 0.0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def shared_out_bytes(pid: int) -> int:
    """Memory of a process with its children; pages that several have count once (PSS, without Linux USS)."""
    total = 0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            full = process.memory_full_info()
            total += getattr(full, "pss", full.uss)
    return total


@asynccontextmanager
async def peak_of(pid: int) -> AsyncIterator[Peak]:
    """Looks at the memory of a process and its children as long as the context lasts, or they live."""
    peak = Peak()

    async def look() -> None:
        while psutil.pid_exists(pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                peak.bytes = max(peak.bytes, await asyncio.to_thread(shared_out_bytes, pid))
            await asyncio.sleep(EVERY)

    looking = asyncio.create_task(look())
    try:
        yield peak
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
