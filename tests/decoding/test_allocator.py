"""Freed pictures go back to the system, in workers and in the processes that decode."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes

class MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = MallInfo
PREPARE
picture = bytes(2_000_000)
del picture  # by default, buffers of this size are kept from now on
before = libc.mallinfo2().hblks
picture = bytes(1_900_000)
print(libc.mallinfo2().hblks - before)
"""
OURS = "from darkroom.allocator import give_back_large_buffers; give_back_large_buffers()"

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")


@pytest.mark.parametrize(
    ("prepare", "environment", "buffers"),
    [("", {}, 0), (OURS, {}, 1), (OURS, {"MALLOC_MMAP_THRESHOLD_": "33554432"}, 0)],
    ids=["default", "ours", "the user's"],
)
def test_a_large_buffer_is_the_systems_own_after_another_was_freed(
    prepare: str, environment: dict[str, str], buffers: int
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("PREPARE", prepare)],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (found.stdout, found.stderr) == (f"{buffers}\n", "")
