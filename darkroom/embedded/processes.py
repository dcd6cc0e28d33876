"""Child processes that end with their parent, whatever ends it."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# The launcher asks Linux to end the program with its parent, then becomes the program. It asks whether the
# parent is still there, because it may have died before the question was put. libuv neither sets a umask nor closes
# files of ours that programs inherit, so the launcher does.
_LAUNCHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(sys.argv[2]))
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
if int(sys.argv[3]) >= 0:
    os.umask(int(sys.argv[3]))
os.closerange(3, os.sysconf("SC_OPEN_MAX"))
os.execv(sys.argv[4], sys.argv[4:])
"""


async def start_tied(
    program: Sequence[str],
    log_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    *,
    at_our_end: signal.Signals = signal.SIGTERM,
    umask: int = -1,
) -> asyncio.subprocess.Process:
    """Start a program as a child that outlives neither us nor, by Ctrl-C, the work we still wait for.

    Args:
        program: an absolute path, and its arguments.
        log_file: where its output is appended; None for our own standard error.
        environment: instead of ours.
        folder: where it starts, instead of where we were started.
        umask: of what it writes, instead of ours; -1 for ours.
        at_our_end: what it is sent when we end; a program that is stopped hears only SIGKILL.
    """
    log = None if log_file is None else log_file.open("ab")
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",  # no module of the folder we were started from is taken for the standard library's
            "-c",
            _LAUNCHER,
            str(os.getpid()),
            str(int(at_our_end)),
            str(umask),
            *program,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log or sys.stderr.fileno(),
            stderr=log or sys.stderr.fileno(),
            env=environment,
            cwd=folder,
            # Ctrl-C goes to the whole process group of the terminal; a child of ours must outlive the drain.
            start_new_session=True,
        )
    finally:
        if log is not None:
            log.close()


async def stop(process: asyncio.subprocess.Process, patience: float) -> None:
    """End a process: by SIGTERM, and if it does not listen, by SIGKILL."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        process.kill()
        await process.wait()
