"""Which pictures of a job are taken home, and what each is called."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from uuid import UUID

from darkroom.domain.deleting import DELETED
from darkroom.domain.errors import ExportRejected, JobNotFound, NotPossibleNow
from darkroom.domain.file_names import DEFAULT_TEMPLATE, NameTemplate, file_names
from darkroom.domain.model import Value
from darkroom.domain.orders import Stage
from darkroom.domain.progress import JobStatus
from darkroom.domain.snapshots import DeliveryMark, Picture
from darkroom.domain.stage_labels import number_of_stage
from darkroom.records.watching import WatchRecords

PAGE = 500
_RANGE = re.compile(r"(\d{1,19})(?:-(\d{1,19}))?")


class Choice(Value):
    """What users want of a job; everything, unless they say otherwise."""

    name: str = DEFAULT_TEMPLATE
    """The template of file names."""
    stage: int | None = None
    pictures: str | None = None
    """Numbers of attachments and ranges of them: `9634,9640-9652`."""


class Chosen(Value):
    """One picture, and its file's name."""

    name: str
    picture: Picture
    stage: Stage | None
    """None in jobs of before Darkroom, whose stages are not known."""
    credits: int

    @property
    def label(self) -> str:
        """What its stage is called."""
        return self.stage.label if self.stage else number_of_stage(self.picture.stage_index)


class Export(Value):
    """What is taken home of a job, by stage and ordinal."""

    job_id: UUID
    user_id: UUID | None
    status: JobStatus
    pictures: tuple[Chosen, ...]


async def choose(records: WatchRecords, job_id: UUID, choice: Choice) -> Export:
    """The pictures that are delivered by now, and chosen. A name does not depend on what else is chosen.

    Raises:
        ExportRejected: the template, the stage or the pictures are not the job's.
        JobNotFound: no such job.
        NotPossibleNow: it was deleted.
    """
    template = NameTemplate.read(choice.name)
    wanted = None if choice.pictures is None else _ranges(choice.pictures)
    stages = {stage.stage_index: stage for stage in await records.stages(job_id)}
    pictures: list[Picture] = []
    mark: DeliveryMark | None = None
    while True:
        snapshot = await records.snapshot(job_id, mark, PAGE)
        if snapshot is None:
            raise JobNotFound(f"job {job_id} does not exist")
        if snapshot.deleted_at is not None:
            raise NotPossibleNow(f"job {job_id} {DELETED}")
        pictures += snapshot.pictures
        if len(snapshot.pictures) < PAGE:
            break
        mark = DeliveryMark(delivered_at=pictures[-1].delivered_at, attach_id=pictures[-1].attach_id)
    pictures.sort(key=lambda picture: (picture.stage_index, picture.ordinal, picture.attach_id))
    labels = {picture.stage_index: number_of_stage(picture.stage_index) for picture in pictures}
    labels |= {index: stage.label for index, stage in stages.items()}
    if choice.stage is not None and choice.stage not in labels:
        raise ExportRejected("stage", f"job {job_id} has no {number_of_stage(choice.stage)} (index {choice.stage})")
    names = file_names(template, str(job_id)[:8], labels, pictures, ended=snapshot.progress.status.ended)
    chosen = [
        Chosen(
            name=name,
            picture=one,
            stage=stages.get(one.stage_index),
            credits=(snapshot.unit_price or 0) if one.price is None else one.price,
        )
        for name, one in zip(names, pictures, strict=True)
        if choice.stage in (None, one.stage_index)
    ]
    return Export(
        job_id=job_id,
        user_id=snapshot.user_id,
        status=snapshot.progress.status,
        pictures=tuple(chosen if wanted is None else _wanted(job_id, chosen, wanted)),
    )


def _ranges(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ExportRejected("pictures", f"{part[:40]!r} is no attachment id; write 9634,9640-9652")
        found.append((int(match[1]), int(match[2] or match[1])))
    return found


def _wanted(job_id: UUID, pictures: Sequence[Chosen], ranges: Sequence[tuple[int, int]]) -> list[Chosen]:
    ids = sorted(one.picture.attach_id for one in pictures)
    begins = [0] * (len(ids) + 1)
    for first, last in ranges:
        low, high = bisect_left(ids, first), bisect_right(ids, last)
        if low >= high:
            written = str(first) if first == last else f"{first}-{last}"
            raise ExportRejected("pictures", f"{written} is no delivered picture of job {job_id}, or not of this stage")
        begins[low] += 1
        begins[high] -= 1
    kept = {one for one, covered in zip(ids, accumulate(begins), strict=False) if covered}
    return [one for one in pictures if one.picture.attach_id in kept]
