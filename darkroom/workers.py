"""Which worker processes of this machine live: each holds a lock on a file of its own while it does."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import structlog

if sys.platform != "win32":  # there, nothing is known of other workers
    import fcntl

log = structlog.get_logger(__name__)

REMEMBERED = 7 * 24 * 3600.0
"""Seconds for which the file of a dead worker is kept: longer than any of its calls is asked for."""


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
            lock = os.open(self._file(worker), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            log.warning("worker not registered", folder=str(self._folder), reason=error.strerror or str(error))
            yield None
            return
        try:
            yield worker if _locked(lock) else None
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

    def _file(self, worker: str) -> Path:
        return self._folder / f"{worker}.lock"

    def _forget_old_ones(self) -> None:
        before = time.time() - REMEMBERED
        for file in self._folder.glob("*.lock"):
            with suppress(FileNotFoundError):  # another worker, which starts at the same time, was quicker
                if file.stat().st_mtime < before and self.is_dead(file.stem):
                    file.unlink()


def _locked(file: int) -> bool:
    """Whether nobody else has the lock of an open file: then it is ours until the file is closed."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
