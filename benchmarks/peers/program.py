"""What an engine's program says and hears: one line of JSON each, until its standard input ends.

    python -m benchmarks.peers.dbos_program '{"folder": "...", "database": "sqlite"}'

It starts whatever the engine needs, prints `Ready`, and for each `Work` that it reads prints `Done`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.work import Work
from darkroom.domain.model import Value


class Setup(Value):
    """What an engine's program is told."""

    folder: Path
    database: str = ""
    works: bool = False
    """Whether the steps do the work, instead of nothing."""

    @property
    def kept(self) -> Path:
        """Where the steps keep files and records."""
        return self.folder / "kept"


class Ready(Value):
    """The engine works."""

    worker: int
    """The process that does the work, with its children."""
    server: int | None = None
    """The one that keeps it, if that is another."""
    note: str = ""
    """What the program found, such as the server's name."""


class Done(Value):
    """A job that was done."""

    seconds: float
    done: int
    """Pictures of which the last step was done; where steps do the work, those that are charged and have their file."""


def serve(ready: Ready, run: Callable[[Work, str], Done]) -> None:
    """Say that it is ready, then do each job that is asked for."""
    _say(ready)
    for number, line in enumerate(sys.stdin):
        _say(run(Work.model_validate_json(line), f"job-{number}"))


def _say(value: Value) -> None:
    sys.stdout.write(value.model_dump_json() + "\n")
    sys.stdout.flush()
