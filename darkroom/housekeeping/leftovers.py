"""What lies in the storage of a job that nobody will settle any more."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from darkroom.domain import names
from darkroom.records.images import ImageRecords
from darkroom.records.watching import WatchRecords
from darkroom.storage import Storage

DELETE_AT_ONCE = 500
PAGE = 1_000


class LeftoverRecords(ImageRecords, WatchRecords, Protocol):
    """What of a job is delivered, and whether the rest may go."""


async def remove_leftovers(
    records: LeftoverRecords,
    storage: Storage,
    job_id: UUID,
    run_id: str,
    user_id: UUID | None,
    *,
    failed_before: datetime | None = None,
) -> int:
    """Remove staged bytes, undelivered files and their records; how many objects went.

    Generated pictures of a failed job stay for a restart, unless it ended before `failed_before`. A restart ends
    this at once: from then on the files may be those of the new run.
    """
    delivered: set[str] = set()
    after = 0
    while page := await records.delivered_images(job_id, after, PAGE):
        for image in page:
            delivered.update(image.files, filter(None, [names.thumbnail_key(image.path)]))
        after = page[-1].attach_id
    prefixes = (
        names.staging_prefix(job_id),
        names.image_prefix(job_id, user_id),
        names.thumbnail_prefix(job_id, user_id),
    )
    leftovers = [key for prefix in prefixes for key in await storage.keys(prefix) if key not in delivered]
    for first in range(0, len(leftovers), DELETE_AT_ONCE):
        if not await records.may_remove_leftovers(job_id, run_id, failed_before):
            return first
        await storage.delete(leftovers[first : first + DELETE_AT_ONCE])
    await records.drop_undelivered(job_id, run_id, failed_before)
    return len(leftovers)
