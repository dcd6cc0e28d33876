"""Provider calls as the benchmarks make them: seeded waits, prebuilt answers, the first of each job noted."""

import asyncio
import os
import time
from pathlib import Path

from benchmarks.work import Pictures, Work, misses, seconds
from darkroom.domain.images import Generated, ImageRequest, Missed, ProviderAnswer
from darkroom.domain.orders import Capabilities

WARM_UP = "warm-up"
"""How the label of a job begins whose calls take no time."""

NOTED = "noted"
"""How the label of a job begins of which the last call is noted too, at the price of a write a call."""


class Calls:
    """Waits like a provider, and leaves the time of a job's first call in a file for the process that asks."""

    def __init__(self, work: Work, folder: Path) -> None:
        self._work = work
        self._folder = folder
        self._begun: set[str] = set()
        self._last: dict[str, int] = {}

    async def wait(self, label: str, stage: int, ordinal: int) -> None:
        """One call of the job with this label."""
        if label not in self._begun:
            self._begun.add(label)
            (self._folder / label).write_text(str(time.time()), "ascii")
        if label.startswith(NOTED):
            self._note_last(label)
        taken = 0.0 if label.startswith(WARM_UP) else seconds(self._work, stage, ordinal)
        if taken:
            await asyncio.sleep(taken)

    def _note_last(self, label: str) -> None:
        if label not in self._last:
            self._last[label] = os.open(self._folder / f"{label}.last", os.O_WRONLY | os.O_CREAT)
        os.pwrite(self._last[label], f"{time.time():.6f}".encode(), 0)


class BenchProvider:
    """An ImageProvider that answers with prebuilt pictures; the prompt of a job is its label."""

    model = None

    def __init__(self, work: Work, folder: Path) -> None:
        self.capabilities = Capabilities(name="offline", aspect_ratios=("16:9",), max_references=0)
        self._work = work
        self._calls = Calls(work, folder)
        self._pictures = Pictures(work.sample)

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        await self._calls.wait(request.prompt, request.stage_index, request.ordinal)
        if misses(self._work, request.stage_index, request.ordinal):
            return Missed(reason="no picture in the answer")
        return Generated(data=self._pictures.fresh(request.ordinal))

    async def close(self) -> None:
        """Nothing is held open."""
