"""A process of its own that delivers images of one job until it is through, or killed.

Each line it writes is one image that the records acknowledged as settled.
"""

import asyncio
import sys
from pathlib import Path
from uuid import UUID, uuid4

from darkroom.domain.attempts import Attempt, Begin
from darkroom.domain.images import AttachInput, ImageKey
from darkroom.records.sqlite import SqliteRecords


async def deliver(path: Path, job_id: UUID, run_id: str, ordinals: range) -> None:
    """Every ordinal through all four steps, those that are through already once more."""
    records = SqliteRecords(path)
    for ordinal in ordinals:
        key, call = ImageKey(job_id=job_id, stage_index=0, ordinal=ordinal), uuid4()
        begun = await records.begin_attempt(
            Attempt(key=key, run_id=run_id, call_id=call, round=0, provider="offline"), looked=True
        )
        if begun.begin is Begin.BEGUN:
            await records.attach(
                AttachInput(key=key, run_id=run_id, call_id=call, path=key.final(None), size=1, sha256="00" * 32)
            )
        settled = await records.settle(key, run_id)
        print(ordinal, settled.settlement, flush=True)  # noqa: T201 - the parent reads it
    await records.close()


if __name__ == "__main__":
    _, file, job, run, first, last = sys.argv
    asyncio.run(deliver(Path(file), UUID(job), run, range(int(first), int(last))))
