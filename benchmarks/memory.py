"""The most memory a process has had."""

import os
import re
from pathlib import Path

import psutil


def peak_bytes(pid: int | None = None) -> int:
    """The largest resident size so far; where the system does not keep it, the present one."""
    pid = pid or os.getpid()
    status = Path(f"/proc/{pid}/status")
    # Not getrusage: after fork and exec it also counts what the parent had.
    found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text("ascii"), re.MULTILINE) if status.is_file() else None
    return int(found[1]) * 1024 if found else int(psutil.Process(pid).memory_info().rss)
