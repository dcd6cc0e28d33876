"""What a job's run does with several images of a stage together."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from darkroom.domain.groups import Attached, AttachGroupInput, CreditGroupInput, NewFile
from darkroom.domain.money import SettledImage
from tests.support.records.fixture import Job


def new_files(
    job: Job,
    ordinals: Iterable[int],
    stage: int = 0,
    *,
    run: str | None = None,
    calls: Sequence[UUID | None] | None = None,
) -> AttachGroupInput:
    """What `Job.attach` gives for each of them, as a group."""
    chosen = list(ordinals)
    paths = [job.key(ordinal, stage).final(job.order.user_id) for ordinal in chosen]
    return AttachGroupInput(
        job_id=job.job_id,
        stage_index=stage,
        run_id=run or job.run,
        directory=job.key(0, stage).final(job.order.user_id).rpartition("/")[0],
        files=tuple(
            NewFile(
                ordinal=ordinal,
                call_id=call,
                name=path.rpartition("/")[2],
                size=1000 + ordinal,
                sha256=f"{stage:032x}{ordinal:032x}",
            )
            for ordinal, path, call in zip(chosen, paths, calls or [None] * len(chosen), strict=True)
        ),
    )


async def attach_group(
    job: Job,
    ordinals: Iterable[int],
    stage: int = 0,
    *,
    run: str | None = None,
    calls: Sequence[UUID | None] | None = None,
) -> Sequence[Attached]:
    """Attach these in one group."""
    return await job.records.attach_group(new_files(job, ordinals, stage, run=run, calls=calls))


def to_settle(job: Job, ordinals: Iterable[int], stage: int = 0, *, run: str | None = None) -> CreditGroupInput:
    """What `Job.settle` gives for each of them, as a group."""
    return CreditGroupInput(job_id=job.job_id, stage_index=stage, run_id=run or job.run, ordinals=tuple(ordinals))


async def settle_group(
    job: Job, ordinals: Iterable[int], stage: int = 0, *, run: str | None = None
) -> Sequence[SettledImage]:
    """Settle these in one group."""
    return await job.records.settle_group(to_settle(job, ordinals, stage, run=run))
