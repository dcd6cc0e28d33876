"""The results of the client's methods."""

from uuid import UUID

from darkroom.domain.model import Value
from darkroom.domain.progress import JobStatus, Progress


class Submitted(Value):
    """A job that is stored and started."""

    job_id: UUID
    found: bool
    """Whether the id existed already; the order was not read then."""
    total_images: int
    warnings: tuple[str, ...] = ()


class ControlResult(Value):
    """What a signal to a job did: `success` means accepted."""

    success: bool
    message: str
    job_id: UUID
    status: JobStatus
    completed_images: int
    total_images: int


class ProgressReading(Value):
    """Progress, and where it was read."""

    progress: Progress
    source: str
    """`workflow`, or `records` when no workflow answered."""
