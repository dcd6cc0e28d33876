"""The same work in a plain asyncio loop: `python -m benchmarks.plain_loop WORK FOLDER`.

Generate, check that it decodes, encode as WebP, write the file, count; 25 calls in flight per stage, and
twice as many images on their way, as in Darkroom. Nothing outlives a crash: no staging, no fsync, no
records, no retries.
"""

import asyncio
import sys
import time
from collections import deque
from pathlib import Path

from benchmarks.memory import peak_bytes
from benchmarks.usage import peak_of
from benchmarks.work import CONCURRENCY, Pictures, Work, seconds
from darkroom.decoding.children import Children
from darkroom.domain.model import Value
from darkroom.pictures import PictureWork
from darkroom.settings import Settings


class LoopResult(Value):
    """What the loop printed."""

    seconds: float
    first_call: float
    peak_bytes: int
    peak_together: int = 0
    """With the processes that decode and encode, as seen from outside."""


class PlainLoop:
    """One run of the work."""

    def __init__(self, work: Work, folder: Path, quality: int, method: int) -> None:
        self._work = work
        self._folder = folder
        self._samples = Pictures(work.sample)
        self._children = Children()
        self._pictures = PictureWork(quality, method, self._children)
        self._done = 0
        self._began = 0.0
        self._first_call: float | None = None

    async def run(self) -> LoopResult:
        """Do it all and say how long it took."""
        await self._pictures.encode(self._samples.fresh(0))  # Pillow loads its codecs at their first use
        self._began = time.perf_counter()
        await asyncio.gather(*(self._stage(stage) for stage in range(self._work.stages)))
        taken = time.perf_counter() - self._began
        assert self._done == self._work.total
        await self._children.close()
        return LoopResult(seconds=taken, first_call=self._first_call or 0.0, peak_bytes=peak_bytes())

    async def _stage(self, stage: int) -> None:
        queue = deque(range(self._work.images))
        generating = asyncio.Semaphore(CONCURRENCY)

        async def lane() -> None:
            while queue:
                ordinal = queue.popleft()
                async with generating:
                    data = await self._generate(stage, ordinal)
                await self._pictures.inspect(data)
                encoded = await self._pictures.encode(data)
                await asyncio.to_thread((self._folder / f"{stage}-{ordinal}.webp").write_bytes, encoded)
                self._done += 1

        await asyncio.gather(*(lane() for _ in range(2 * CONCURRENCY)))

    async def _generate(self, stage: int, ordinal: int) -> bytes:
        if self._first_call is None:
            self._first_call = time.perf_counter() - self._began
        await asyncio.sleep(seconds(self._work, stage, ordinal))
        return self._samples.fresh(ordinal)


async def measure_plain(work: Work, folder: Path, *, watch_memory: bool = False) -> LoopResult:
    """Run the loop in a process of its own; watching its memory takes some of its time."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, work.model_dump_json(), str(folder), stdout=asyncio.subprocess.PIPE
    )
    if watch_memory:
        async with peak_of(process.pid) as peak:
            printed, _ = await process.communicate()
    else:
        printed, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the plain loop ended with status {process.returncode}")
    result = LoopResult.model_validate_json(printed)
    return result.model_copy(update={"peak_together": peak.bytes}) if watch_memory else result


def main() -> None:
    """Run the work of the first argument in the folder of the second; print the result."""
    defaults = Settings.model_fields
    work = Work.model_validate_json(sys.argv[1])
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True)
    loop = PlainLoop(work, folder, defaults["webp_quality"].default, defaults["webp_method"].default)
    print(asyncio.run(loop.run()).model_dump_json())


if __name__ == "__main__":
    main()
