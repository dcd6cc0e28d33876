"""What running workers say of themselves."""

from collections.abc import Mapping

from darkroom.domain.model import Value


class AskWorkers(Value):
    """Which task queues to ask: of each, one of the workers that serve it answers."""

    queues: tuple[str, ...]


class WorkerReport(Value):
    """What one worker has. Settings by name; none of them is a secret."""

    task_queue: str
    identity: str
    """Process and host, as Temporal lists it."""
    version: str
    providers: tuple[str, ...]
    """Those that it can call: with their keys."""
    keeps: str
    """Where its records and pictures are."""
    schema_version: str
    """The version of the records that it needs."""
    settings: Mapping[str, str]
    free_bytes: int | None
    """On the disk that holds its DARKROOM_HOME; None where that cannot be told."""
    full_disk: str | None = None
    """The sentence, when that disk is full."""


class WorkerReports(Value):
    """An answer for each queue that was asked for, as far as a worker has answered in time."""

    reports: tuple[WorkerReport, ...]
    silent: tuple[str, ...]
    """Queues without an answer."""
