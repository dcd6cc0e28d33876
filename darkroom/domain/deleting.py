"""What deleting an ended job removes, and what stays (spec §8)."""

from datetime import datetime
from uuid import UUID

from darkroom.domain.job_names import KeptName
from darkroom.domain.model import Value
from darkroom.domain.progress import JobStatus


class Deletion(Value):
    """What a delete removes for good: pictures with the marks beside them, a cover, prompts and links to references.

    Numbers, the receipt and the journal stay, and so do the references themselves.
    """

    job_id: UUID
    name: KeptName = None
    status: JobStatus
    completed_at: datetime | None
    pictures: int
    bytes: int
    """Of the pictures."""
    marks: int
    """Files beside pictures that were delivered as they came."""
    cover: str | None = None
    """Where the cover of its book lies, if no other job made that book's pictures."""
    references: int = 0
    """Links to reference pictures."""
    refusal: str | None = None
    """Why the job cannot be deleted now, as the end of a sentence about it."""
    deleted_at: datetime | None = None
    """When it was deleted; its files may not have been removed yet."""
    files_removed: bool = False


class DeletedFiles(Value):
    """Where the files of a deleted job lie."""

    user_id: UUID | None
    cover: str | None
    paths: tuple[str, ...]
    """Of pictures and marks."""


def not_ended(status: JobStatus) -> str:
    """Why a job that goes on cannot be deleted."""
    return f"is {status}; cancel it first, or wait until it ends"


def in_use(other: UUID, pictures: int) -> str:
    """Why a job cannot be deleted whose pictures another one is drawn after."""
    of_them = "one of its pictures" if pictures == 1 else f"{pictures:,} of its pictures"
    return f"cannot be deleted yet: job {other}, which has not ended, is drawn after {of_them}"


OF_BEFORE = "was made before Darkroom; delete it in the application that made it"
DELETED = "was deleted; its pictures and prompts are gone"
