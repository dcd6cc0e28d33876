"""Processes that decode and encode, so that a picture which ends its decoder ends nothing else.

They are programs of their own and not `multiprocessing`'s, whose children import the parent's main module: the
worker with all it needs, or the script of somebody who imports this library.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from darkroom.decoding.child import OUT_OF_MEMORY

if sys.platform == "linux":
    import fcntl

T = TypeVar("T")

CORES = os.cpu_count() or 1

MEMORY = 6 * 1024**3
"""Bytes of address space. The largest picture that is taken, with an alpha channel of noise, needs 4.5 GB."""

SECONDS = 25.0
"""For one picture, of which 120 megapixels take 10 s. Twice that fits into the 60 s of an upload."""

PIPE = 1024 * 1024
"""Bytes; the most that Linux gives without privileges, and only to a user who has few of these (64 MB in all)."""

START_PATIENCE = 60.0
END_PATIENCE = 5.0

_ROOT = str(Path(__file__).parents[2])

# The package that this process runs, even where another one is installed.
_PROGRAM = (
    "import sys; root = sys.argv.pop(1); root in sys.path or sys.path.insert(0, root); "
    "from darkroom.decoding.child import main; main()"
)


_BROKEN = (OSError, EOFError, ValueError, pickle.UnpicklingError)
"""How a pipe is broken; one that another thread closes meanwhile is a ValueError."""


class ChildDied(Exception):
    """The process ended before it answered; says how."""


class NoChild(OSError):
    """No process could be started, which is no fault of a picture."""


class Child:
    """One process, with one picture at a time. All methods but `kill` block."""

    def __init__(self, memory: int, niceness: int) -> None:
        self._memory = memory
        command = [sys.executable, "-P", "-c", _PROGRAM, _ROOT, str(os.getpid()), str(memory), str(niceness)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Ctrl-C goes to the whole group of the terminal, and may come before the child can ignore it.
                start_new_session=True,
            )
        except OSError as error:
            raise NoChild(f"a process for pictures cannot start: {error.strerror or error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        for pipe in (self._requests, self._answers):
            _widen(pipe)
        late = threading.Timer(START_PATIENCE, self.kill)
        late.start()
        try:
            pickle.load(self._answers)  # noqa: S301 - from our child
        except (EOFError, OSError, pickle.UnpicklingError):
            raise NoChild(f"a process for pictures cannot start: it {self._end(START_PATIENCE)}") from None
        finally:
            late.cancel()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def do(self, work: Callable[[], T], seconds: float) -> T:
        """What `work` returns or raises in the child: a function of a module, or a partial of one.

        Raises:
            ChildDied: it ended before it answered, or took longer than `seconds`.
        """
        try:
            pickle.dump((work, seconds), self._requests, protocol=pickle.HIGHEST_PROTOCOL)
            self._requests.flush()
            done, result = pickle.load(self._answers)  # noqa: S301 - from our child
        except _BROKEN:
            raise ChildDied(self._end(seconds)) from None
        except BaseException:
            self.close()  # a half of a message is in a pipe, and would be read as part of the next picture's
            raise
        if not done:
            raise result
        answer: T = result
        return answer

    def kill(self) -> None:
        """End it; whoever waits for its answer gets `ChildDied`."""
        self._process.kill()

    def close(self) -> None:
        """End it, and wait until it has ended."""
        self.kill()
        self._end(0)

    def _end(self, seconds: float) -> str:
        """How it ended."""
        try:
            status = self._process.wait(END_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # what was not sent never will be
                pipe.close()
        if status == OUT_OF_MEMORY:
            return f"needed more than {self._memory / 1024**3:.3g} GB of memory"
        if status == -signal.SIGALRM:
            return f"took longer than {seconds:g} s"
        if status == -signal.SIGKILL:
            return "was killed, as the system does when it runs out of memory"
        return f"crashed ({signal.strsignal(-status)})" if status < 0 else f"ended with status {status}"


def _widen(pipe: IO[bytes]) -> None:
    """Let a picture through in fewer steps, where the system permits it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE)


class Children:
    """At most one process a core, each started when it is first needed.

    Safe to use from several event loops.

    Args:
        memory: bytes of address space that each may have.
        seconds: for one picture.
        most: processes.
        niceness: how far they stand back where processors are short, as `nice` has it.
    """

    def __init__(self, memory: int = MEMORY, seconds: float = SECONDS, *, most: int = CORES, niceness: int = 0) -> None:
        self.most = most
        self._memory = memory
        self._seconds = seconds
        self._niceness = niceness
        self._closed = False
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        # Linux ends a child with the thread that started it, and an event loop's own threads end with the loop.
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="pictures")

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        with self._lock:
            return [child.pid for child in self._all if child.alive]

    async def run(self, work: Callable[[], T], *, fresh: bool = False) -> T:
        """What `work` returns or raises in a child.

        Args:
            work: a function of a module, or a partial of one.
            fresh: in a child that has done nothing else.

        Raises:
            ChildDied: the child ended before it answered.
            NoChild: none could be started.
        """
        taken: list[Child] = []
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._do, work, taken, fresh)
        except asyncio.CancelledError:
            for child in taken:  # nobody wants its answer, and the core is free for another picture
                child.kill()
            raise

    async def close(self) -> None:
        """End all of them."""
        await asyncio.to_thread(self.end)

    def end(self) -> None:
        """End all of them."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            children, self._all, self._idle = self._all, set(), []
        for child in children:
            child.close()

    def _do(self, work: Callable[[], T], taken: list[Child], fresh: bool) -> T:
        child = self._take(fresh=fresh)
        taken.append(child)
        try:
            return child.do(work, self._seconds)
        finally:
            taken.clear()
            self._give_back(child)

    def _take(self, *, fresh: bool) -> Child:
        with self._lock:
            while self._idle and not fresh:
                child = self._idle.pop()
                if child.alive:
                    return child
                self._all.discard(child)
        child = Child(self._memory, self._niceness)
        with self._lock:
            if not self._closed:
                self._all.add(child)
                return child
        child.close()
        raise NoChild("no more pictures are worked on")

    def _give_back(self, child: Child) -> None:
        with self._lock:
            if child in self._all:
                self._idle.append(child)  # dead or alive, which `_take` looks at
