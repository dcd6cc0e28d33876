"""Which worker processes of this machine live: each holds a lock on a file of its own while it does."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import structlog

if sys.platform != "win32":  # there, nothing is known of other workers
    import fcntl

log = structlog.get_logger(__name__)

REMEMBERED = 7 * 24 * 3600.0
"""Seconds for which the file of a dead worker is kept: longer than any of its calls is asked for."""
HOLDS_NOTHING = b"holds nothing\n"
"""What the file of a worker says that has stopped as it should, or whose work was given back."""
ALONE_AGAIN = 0.1


class LocalWorkers:
    """The workers that share a folder, which is those of one machine or of one shared volume.

    Process ids and host names say nothing across containers; the lock of a file is released by the system when its
    process ends, however it ends, and only then. A worker that stands still keeps it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def joined(self) -> Iterator[str | None]:
        """Be known as alive; gives this worker's id, or None where the folder takes no locked file."""
        worker = uuid4().hex
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._forget_old_ones()
            # Locked before it has its name: an unlocked file with that name is a dead worker.
            unnamed = self._folder / f".{worker}"
            lock = os.open(unnamed, os.O_RDWR | os.O_CREAT, 0o600)
            locked = _locked(lock)
            unnamed.rename(self._file(worker))
        except OSError as error:
            log.warning("worker not registered", folder=str(self._folder), reason=error.strerror or str(error))
            yield None
            return
        try:
            yield worker if locked else None
            with suppress(OSError):  # a full disk; then it is asked once whether anything is left
                os.write(lock, HOLDS_NOTHING)
        finally:
            os.close(lock)

    def is_dead(self, worker: str | None) -> bool:
        """Whether this worker has certainly ended. False for one that lives, and for one that is not known here."""
        if worker is None:
            return False
        try:
            lock = os.open(self._file(worker), os.O_RDWR)
        except OSError:
            return False
        try:
            return _locked(lock)
        finally:
            os.close(lock)

    def crashed(self) -> set[str]:
        """The workers that have ended and may hold work."""
        with suppress(OSError):
            empty = [file.stem for file in self._folder.glob("*.lock") if _size(file) == 0]
            return {worker for worker in empty if self.is_dead(worker)}
        return set()

    def forget(self, workers: Iterable[str]) -> None:
        """Count them no longer among the crashed: what they held is given back."""
        for worker in workers:
            with suppress(OSError):
                self._file(worker).write_bytes(HOLDS_NOTHING)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Wait until no other process of this folder is in here."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / "alone", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # then no worker is registered there either
            yield
            return
        try:
            while sys.platform != "win32" and not _locked(lock):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(ALONE_AGAIN)
            yield
        finally:
            os.close(lock)

    def _file(self, worker: str) -> Path:
        return self._folder / f"{worker}.lock"

    def _forget_old_ones(self) -> None:
        before = time.time() - REMEMBERED
        for file in self._folder.glob("*.lock"):
            with suppress(FileNotFoundError):  # another worker, which starts at the same time, was quicker
                if file.stat().st_mtime < before and self.is_dead(file.stem):
                    file.unlink()


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:  # another worker, which starts at the same time, has removed it
        return None


def _locked(file: int) -> bool:
    """Whether nobody else has the lock of an open file: then it is ours until the file is closed."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
