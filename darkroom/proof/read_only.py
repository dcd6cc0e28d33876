"""Files that nobody can write to, root included."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotSupported(Exception):
    """This user cannot do it on this file system."""


@contextmanager
def unwritable(*files: Path) -> Iterator[None]:
    """Let every new open for writing fail; for root, who has no permissions to take away, every write does.

    Raises:
        NotSupported: root on a file system that knows no immutable files.
    """
    is_root = os.geteuid() == 0
    try:
        for file in files:
            _mark_immutable(file) if is_root else file.chmod(0o444)
        yield
    finally:
        for file in files:
            if is_root:
                _chattr("-i", file)
            else:
                file.chmod(0o644)


def _mark_immutable(file: Path) -> None:
    try:
        marked = _chattr("+i", file)
    except FileNotFoundError:
        raise NotSupported("there is no chattr") from None
    if marked.returncode:
        raise NotSupported(f"chattr is refused: {marked.stderr.decode().strip()}")


def _chattr(change: str, file: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["chattr", change, str(file)], capture_output=True, check=False)  # noqa: S603, S607 - found on PATH
