"""Following a job to its end."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from darkroom.client.reading import Reading
from darkroom.client.results import ProgressReading
from darkroom.domain.progress import Progress

EVERY = 0.3
"""Seconds between readings: shorter than anybody notices, and nothing to a database."""


async def readings(reading: Reading, job_id: UUID, every: float) -> AsyncIterator[ProgressReading]:
    """How a job stands, again and again; the last one has ended."""
    while True:
        # A restarted job reads as ended until its new run opens; whoever follows it waits for that run. Asked first,
        # because the new run may open and end between two questions.
        opens_again = await reading.opens_again(job_id)
        latest = await reading.progress(job_id)
        if not (latest.progress.status.ended and opens_again):
            break
        await asyncio.sleep(every)
    yield latest
    while not latest.progress.status.ended:
        await asyncio.sleep(every)
        latest = await reading.progress(job_id)
        yield latest


async def changes(all_readings: AsyncIterator[ProgressReading]) -> AsyncIterator[ProgressReading]:
    """Those that say something new."""
    last: Progress | None = None
    async for latest in all_readings:
        # The time that is left changes with the clock alone.
        told = latest.progress.model_copy(update={"eta_seconds": None})
        if told != last:
            yield latest
        last = told
