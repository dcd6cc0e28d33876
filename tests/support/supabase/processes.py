"""The processes of one project: started together, and gone when whoever started them is gone."""

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

HOST = "127.0.0.1"
PATIENCE = 30.0

# Reading ends when the one who started it is gone, however that came about. QUIT is what PostgreSQL calls an immediate
# shutdown, and it frees its shared memory, which KILL would not; KILL is for those who were started ignoring QUIT.
_LIFELINE = """
trap '' INT TERM QUIT
read -r _
kill -s QUIT -- -$$
for _ in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf -- "$1" 2>/dev/null && break
  sleep 0.2
done
kill -s KILL -- -$$
"""


class ServerDidNotStart(Exception):
    """A server of the project ended before it was ready; its log says why."""


class Lifeline:
    """A process group whose members end with the process that opened it, even when that is killed.

    A shell leads the group and waits on a pipe that only we hold. As long as it is there the group's number cannot be
    given to anybody else, so that nothing but our own servers is ever signalled.

    Args:
        folder: removed at the end.
    """

    def __init__(self, folder: Path) -> None:
        self._shell = subprocess.Popen(
            ["sh", "-c", _LIFELINE, "lifeline", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )

    @property
    def group(self) -> int:
        """The number of the process group."""
        return self._shell.pid

    def close(self) -> None:
        """End what still runs and remove the folder."""
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._shell.wait(PATIENCE)


class Server:
    """A process of the group; can be stopped, killed and started again."""

    def __init__(self, name: str, lifeline: Lifeline, log: Path) -> None:
        self.name = name
        self.log = log
        self._lifeline = lifeline
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None, user: str | None = None
    ) -> None:
        """Start it; whether it is ready is for the caller to ask.

        Args:
            command: program and arguments.
            environment: all of the environment; the tests' own when left out.
            user: whom to run it as; only root may say so.
        """
        assert not self.running, f"{self.name} is running already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                env=environment,
                cwd=self.log.parent if user is None else "/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=self._lifeline.group,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready.

        Raises:
            ServerDidNotStart: it ended, or did not get ready in time.
        """
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if not self.running or time.monotonic() > deadline:
                raise ServerDidNotStart(f"{self.name}: {self.log.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it as a server is ended; does nothing when it does not run."""
        if self._process is not None and self.running:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL it and what it started, as when a machine fails; does nothing when it does not run."""
        if self._process is not None and self.running:
            parent = psutil.Process(self._process.pid)
            # Standing still, it starts no further child that nobody would find, and that keeps its shared memory.
            parent.suspend()
            deadline = time.monotonic() + PATIENCE
            while self.running and parent.status() != psutil.STATUS_STOPPED:
                assert time.monotonic() < deadline, f"{self.name} goes on"
                time.sleep(0.001)
            children = parent.children(recursive=True)
            self._process.kill()
            self._process.wait(PATIENCE)
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            deadline = time.monotonic() + PATIENCE
            while any(_lives(child) for child in children):
                assert time.monotonic() < deadline, f"{self.name} left processes behind"
                time.sleep(0.005)


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; an ended one that nobody has asked about, as in a container without init, does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def is_root() -> bool:
    """Whether we are root."""
    return os.geteuid() == 0
