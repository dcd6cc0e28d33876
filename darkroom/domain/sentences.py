"""How a job stands, in words; the command line and the page say the same."""

from collections.abc import Callable, Collection
from datetime import datetime

from darkroom.domain.customers_words import SERVICE
from darkroom.domain.deleting import Deletion
from darkroom.domain.names import JOB_QUEUES
from darkroom.domain.progress import FailingProvider, JobStatus, Progress, utc

Clock = Callable[[datetime], str]
"""How a moment of today is written."""


def how_it_stands(progress: Progress, clock: Clock = utc) -> str:
    """How the job stands or ended, in a few words; what keeps it from moving comes first."""
    missing = progress.total_images - progress.completed_images
    match progress.status:
        case JobStatus.PENDING:
            lacking = without_worker(progress.without_worker)
            return f"waiting to start: {lacking}" if lacking else "waiting to start"
        case JobStatus.PROCESSING:
            return _running(progress, clock)
        case JobStatus.COMPLETED if missing:
            return f"completed, {missing:,} missing"
        case JobStatus.FAILED:
            return f"failed: {progress.error_message or 'nothing was delivered'}"
        case _:
            return str(progress.status)


def _running(progress: Progress, clock: Clock) -> str:
    if progress.cancel_requested:
        return "cancelling: waiting for calls in progress"
    if progress.paused:
        return f"paused: {progress.pause_reason or 'until resumed'}"
    if progress.without_worker:
        return without_worker(progress.without_worker)
    if progress.failing:
        return "; ".join(failing(one, clock) for one in progress.failing)
    return "stalled: no picture was delivered or missed lately" if progress.stalled else "running"


def without_worker(queues: Collection[str]) -> str:
    """That nobody does the work, and what to do; empty when somebody does."""
    if not queues:
        return ""
    if SERVICE in queues:
        return f"{SERVICE} is not running; the operator has to fix this"
    if set(queues) >= set(JOB_QUEUES):
        return "no worker is running; start one with `darkroom up` or `darkroom worker`"
    served = "the task queue" if len(queues) == 1 else "the task queues"
    return f"no worker serves {served} {', '.join(queues)}; start one with `darkroom worker`"


def failing(one: FailingProvider, clock: Clock = utc) -> str:
    """Which provider fails a job, why and since when."""
    pictures = "1 picture is" if one.retrying == 1 else f"{one.retrying:,} pictures are"
    name = one.provider[:1].upper() + one.provider[1:]
    return f"{name} is failing ({one.reason}) since {clock(one.since)}; {pictures} being retried"


def what_goes(found: Deletion) -> str:
    """What deleting a job removes, or why it cannot be deleted, in a sentence or two for its user."""
    if found.refusal is not None:
        return f"This job {found.refusal}."
    if found.files_removed:
        return "This job was deleted."
    pictures = "1 picture" if found.pictures == 1 else f"{found.pictures:,} pictures"
    parts = [f"{pictures} ({size_of(found.bytes)})"]
    parts += ["the marks beside them"] if found.marks else []
    parts += ["the book's cover"] if found.cover else []
    parts += ["the prompts and the name"]
    return (
        f"{', '.join(parts[:-1])} and {parts[-1]} will be removed for good. "
        "The job's numbers, its receipt and what was charged stay."
    )


def size_of(number: int) -> str:
    """Bytes as people read them: `184 KB`, `24.1 MB`."""
    for unit, of_them in (("GB", 1_000_000_000), ("MB", 1_000_000)):
        if number >= of_them:
            return f"{number / of_them:,.1f} {unit}"
    return f"{round(number / 1000):,} KB" if number >= 1000 else f"{number} bytes"
