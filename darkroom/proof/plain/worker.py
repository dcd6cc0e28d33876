"""A plain asyncio worker: a queue in memory, a loop for each stage, one more pass for what is missing.

    python -P -m darkroom.proof.plain.worker FOLDER --port PORT

Who connects and writes a job's id has it queued. While nothing fails it is exact: the appends to a row and the
charges of this one process wait for each other, which is more than the replaced workers did.
"""

import argparse
import asyncio
import io
import sqlite3
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import structlog
from PIL import Image

from darkroom import logs
from darkroom.domain.errors import DarkroomError
from darkroom.domain.images import Generated, ImageRequest
from darkroom.proof.account import FILES
from darkroom.proof.plain.records import WORKING, PlainJob, PlainRecords
from darkroom.proof.ports import HOST
from darkroom.proof.provider import KEY
from darkroom.proof.wrappers import FailingPort, Shares
from darkroom.providers import ImageProvider
from darkroom.providers.gemini import GeminiProvider
from darkroom.settings import Settings, read_settings

FAILURES = (DarkroomError, OSError, sqlite3.Error, ValueError)

log = structlog.get_logger("darkroom.worker")


class PlainFiles:
    """The bucket: named as the port's method, so that a proof's wrapper lets it fail."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, key: str, data: bytes, media_type: str) -> None:  # noqa: ARG002 - a file has no media type
        """Write a picture."""
        await asyncio.to_thread(_write, self._root / key, data)


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


class PlainWorker:
    """What is queued is known to this process alone."""

    def __init__(self, folder: Path, settings: Settings, provider: ImageProvider) -> None:
        home, shares = settings.darkroom_home, Shares(folder)
        self._records = FailingPort(PlainRecords(home / "records.db"), "records", shares)
        self._storage = FailingPort(PlainFiles(home / FILES), "storage", shares)
        self._provider = provider
        self._working = home / WORKING / (settings.gemini_api_version or "")
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._writing = asyncio.Lock()
        self._charges: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queue a job, and say so."""
        job_id = (await reader.readline()).decode().strip()
        self._working.mkdir(parents=True, exist_ok=True)
        (self._working / job_id).touch()
        self._queue.put_nowait(job_id)
        writer.write(b"queued\n")
        await writer.drain()
        writer.close()

    async def work(self) -> None:
        """Take up every job as it comes."""
        async with asyncio.TaskGroup() as jobs:
            while True:
                jobs.create_task(self._job(await self._queue.get()))

    async def _job(self, job_id: str) -> None:
        try:
            job = await self._records.open_run(job_id)
            short = await asyncio.gather(*(self._stage(job, prompt, count) for prompt, count in job.stages))
            for (prompt, _), missing in zip(job.stages, short, strict=True):
                await self._stage(job, prompt, missing)
            if not await self._records.cancelled(job_id):
                await self._records.close_run(job_id)
        except FAILURES as error:
            log.warning("job lost", job_id=job_id, reason=str(error))
        while self._charges:
            await asyncio.wait(self._charges)
        (self._working / job_id).unlink(missing_ok=True)

    async def _stage(self, job: PlainJob, prompt: str, count: int) -> int:
        """Make so many pictures, one after another; how many of them failed."""
        failed = 0
        for _ in range(count):
            try:
                if await self._records.cancelled(job.job_id):
                    return 0
                failed += not await self._picture(job, prompt)
            except FAILURES as error:
                log.warning("image failed", job_id=job.job_id, reason=str(error))
                failed += 1
        return failed

    async def _picture(self, job: PlainJob, prompt: str) -> bool:
        answer = await self._provider.generate(ImageRequest(prompt=prompt, aspect_ratio="16:9"))
        if not isinstance(answer, Generated):
            return False
        data = await asyncio.to_thread(_as_webp, answer.data)
        path = f"generated-images/user-{job.user_id}/{uuid4().hex}.webp"
        await self._storage.put(path, data, "image/webp")
        attach_id = await self._records.attach(path, len(data))
        async with self._writing:
            await self._records.refresh(job.job_id, attach_id)
        if job.user_id is not None:
            charge = asyncio.create_task(self._charge(job, attach_id))
            self._charges.add(charge)
            charge.add_done_callback(self._charges.discard)
        return True

    async def _charge(self, job: PlainJob, attach_id: int) -> None:
        """In the background, and once."""
        try:
            async with self._writing:
                await self._records.settle(job, attach_id)
        except FAILURES as error:
            log.warning("charge lost", job_id=job.job_id, reason=str(error))


def _as_webp(data: bytes) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(file, "WEBP", quality=90)
    return file.getvalue()


async def serve(folder: Path, port: int, settings: Settings) -> None:
    """Work until killed."""
    provider = GeminiProvider(
        api_key=KEY,
        model=settings.gemini_model,
        base_url=settings.gemini_base_url,
        api_version=settings.gemini_api_version,
        timeout=timedelta(seconds=settings.gemini_timeout),
        max_concurrent=settings.provider_slots,
    )
    worker = PlainWorker(folder, settings, provider)
    async with await asyncio.start_server(worker.connected, HOST, port):
        log.info("worker started")
        await worker.work()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    given, chosen = parser.parse_args(), read_settings()
    logs.configure(chosen)
    asyncio.run(serve(given.folder, given.port, chosen))
