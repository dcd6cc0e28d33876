"""The program of a child process: one picture after another from its standard input, until that ends."""

import contextlib
import ctypes
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from darkroom.allocator import give_back_large_buffers
from darkroom.decoding import codecs  # before the first picture, which would wait for it

__all__ = ["OUT_OF_MEMORY", "codecs", "main"]

OUT_OF_MEMORY = 77
"""The exit status of a child whose picture needs more memory than it may have."""

MORE_KILLABLE = "500"
"""Added to the score by which Linux chooses whom to kill when memory is short: this process, not its parent."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the parent closes the pipe, or is gone.

    Reads `(work, seconds)`, writes `(True, result)` or `(False, exception)`, and at the start `None`.
    """
    # Ctrl-C and a service manager's SIGTERM go to everybody; the parent finishes what is in progress, and needs us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent, memory, niceness = (int(text) for text in sys.argv[1:4])
    _end_with(parent)
    os.nice(niceness)
    _limit(memory)
    give_back_large_buffers()
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a codec prints must not stand among the answers
    with contextlib.suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):  # the parent is gone
        _send(answers, None)
        while True:
            work, seconds = pickle.load(requests)  # noqa: S301 - from our parent
            _send(answers, _done(work, seconds))
    os._exit(0)


def _done(work: Callable[[], object], seconds: float) -> tuple[bool, object]:
    # The default action of SIGALRM ends the process in the middle of a codec, where no Python code runs.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return True, work()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        return False, _sendable(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _sendable(error: Exception) -> Exception:
    if not isinstance(error, codecs.NotAPicture):
        error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - exceptions of libraries need not survive it
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _send(answers: BinaryIO, answer: object) -> None:
    pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()


def _end_with(parent: int) -> None:
    """Let Linux kill this process with its parent; elsewhere, the end of standard input says that it is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the question was put
        os._exit(0)


def _limit(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # macOS has no such limit
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with contextlib.suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text(MORE_KILLABLE, "ascii")
