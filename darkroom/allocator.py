"""The C library's memory allocator, told to give pictures' memory back as soon as they are freed."""

import ctypes
import os
import sys

LARGE = 512 * 1024
"""Bytes from which a buffer is the system's own, and goes back when it is freed."""

MOST_ARENAS = 2
"""Areas of memory that threads share. By default every thread may have one, and each keeps what it once needed."""

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def give_back_large_buffers() -> None:
    """Let glibc keep no freed picture, for this process; other allocators are left as they are.

    By default glibc raises the size from which it gives buffers back to that of the largest one freed so far, up to
    32 MB. Whoever sets `MALLOC_ARENA_MAX` or `MALLOC_MMAP_THRESHOLD_` decides instead.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
    if "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, MOST_ARENAS)


def give_back_freed() -> None:
    """Give what is free back to the system, wherever it lies: what was read in many small parts lies between others."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
