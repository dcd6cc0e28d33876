"""Reading what does not fit into one answer."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from darkroom.domain.stored import DeliveredImage
from darkroom.records.watching import WatchRecords

PAGE = 500


async def delivered_pages(records: WatchRecords, job_id: UUID | None) -> AsyncIterator[Sequence[DeliveredImage]]:
    """All delivered images of a job, or of all jobs, by attach_id, a page at a time."""
    after = 0
    while page := await records.delivered_images(job_id, after, PAGE):
        yield page
        after = page[-1].attach_id
