"""A process of its own that delivers images of one job until it is through, or killed.

Each line it writes is one image that the records acknowledged as settled.
"""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

from darkroom.domain.attempts import Attempt, Begin
from darkroom.domain.groups import AttachGroupInput, CreditGroupInput
from darkroom.domain.images import AttachInput, ImageKey
from darkroom.domain.money import SettledImage
from darkroom.records.sqlite import SqliteRecords


async def deliver(path: Path, job_id: UUID, run_id: str, ordinals: range, together: int) -> None:
    """Every ordinal through all four steps, so many together, those that are through already once more."""
    records = SqliteRecords(path)
    for some in batched(ordinals, together):
        images = [
            AttachInput(key=key, run_id=run_id, call_id=uuid4(), path=key.final(None), size=1, sha256="00" * 32)
            for key in (ImageKey(job_id=job_id, stage_index=0, ordinal=ordinal) for ordinal in some)
        ]
        begun = await asyncio.gather(*(begin(records, image) for image in images))
        new = [image for image, first in zip(images, begun, strict=True) if first]
        if together == 1:
            for image in new:
                await records.attach(image)
            settled: Sequence[SettledImage] = [await records.settle(image.key, run_id) for image in images]
        else:
            if new:
                await records.attach_group(AttachGroupInput.of(new))
            group = CreditGroupInput(job_id=job_id, stage_index=0, run_id=run_id, ordinals=tuple(some))
            settled = await records.settle_group(group)
        for ordinal, one in zip(some, settled, strict=True):
            print(ordinal, one.settlement, flush=True)  # noqa: T201 - the parent reads it
    await records.close()


async def begin(records: SqliteRecords, image: AttachInput) -> bool:
    """Whether the image's call begins."""
    call = image.call_id
    assert call is not None
    attempt = Attempt(key=image.key, run_id=image.run_id, call_id=call, round=0, provider="offline")
    return (await records.begin_attempt(attempt, looked=True)).begin is Begin.BEGUN


def batched(ordinals: range, size: int) -> Iterator[range]:
    """The ordinals, so many at a time."""
    return (ordinals[start : start + size] for start in range(0, len(ordinals), size))


if __name__ == "__main__":
    _, file, job, run, first, last, together = sys.argv
    asyncio.run(deliver(Path(file), UUID(job), run, range(int(first), int(last)), int(together)))
