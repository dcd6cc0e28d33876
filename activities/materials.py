"""What a stage is drawn from: its prompt and reference pictures, read once per process."""

import asyncio
from collections import OrderedDict
from typing import Protocol
from uuid import UUID

from darkroom.domain.images import ImageRequest, ReferenceImage
from darkroom.domain.model import Value
from darkroom.domain.orders import Stage
from darkroom.pictures import PictureWork
from darkroom.records.images import ReferenceRecords
from darkroom.records.watching import WatchRecords
from darkroom.storage import Storage

MOST_STAGES = 1_000
MOST_REFERENCE_BYTES = 64 * 1024 * 1024


class Material(Value):
    """A stage with its reference pictures, or the reason why one cannot be had."""

    stage: Stage
    references: tuple[ReferenceImage, ...] = ()
    lost: str | None = None

    def request(self, ordinal: int, attempt: int) -> ImageRequest:
        """What a provider is asked for one image of this stage."""
        return ImageRequest(
            prompt=self.stage.prompt,
            aspect_ratio=self.stage.aspect_ratio,
            image_size=self.stage.image_size,
            references=self.references,
            stage_index=self.stage.stage_index,
            ordinal=ordinal,
            attempt=attempt,
        )


class MaterialRecords(ReferenceRecords, WatchRecords, Protocol):
    """Stages, and the files of their references."""


class Stages:
    """A bounded cache of stages, which never change once stored."""

    def __init__(self, records: WatchRecords) -> None:
        self._records = records
        self._stages: OrderedDict[tuple[UUID, int], Stage] = OrderedDict()
        self._reading: dict[tuple[UUID, int], asyncio.Lock] = {}

    async def of(self, job_id: UUID, stage_index: int) -> Stage:
        """One stage as it is stored."""
        place = (job_id, stage_index)
        known = self._stages.get(place)
        if known is not None:
            return known
        # As with pictures below: one of those that start together reads, the others wait.
        async with self._reading.setdefault(place, asyncio.Lock()):
            stage = self._stages.get(place)
            if stage is None:
                stage = await self._records.stage(job_id, stage_index)
                self._stages[place] = stage
                while len(self._stages) > MOST_STAGES:
                    self._stages.popitem(last=False)
        self._reading.pop(place, None)
        return stage


class Materials:
    """Bounded caches of stages and of reference pictures; both never change once stored."""

    def __init__(self, records: MaterialRecords, storage: Storage, pictures: PictureWork, stages: Stages) -> None:
        self._records = records
        self._storage = storage
        self._work = pictures
        self._stages = stages
        self._pictures: OrderedDict[int, ReferenceImage] = OrderedDict()
        self._picture_bytes = 0
        self._reading: dict[int, asyncio.Lock] = {}

    async def of(self, job_id: UUID, stage_index: int) -> Material:
        """The material of one stage."""
        stage = await self._stages.of(job_id, stage_index)
        pictures = []
        for reference in stage.references:
            picture = await self._picture(reference.attach_id)
            if picture is None:
                return Material(stage=stage, lost=f"the file of reference {reference.attach_id} is missing")
            pictures.append(picture)
        return Material(stage=stage, references=tuple(pictures))

    async def _picture(self, attach_id: int) -> ReferenceImage | None:
        # Twenty-five images of a stage start together and want the same file: one reads, the others wait.
        async with self._reading.setdefault(attach_id, asyncio.Lock()):
            known = self._pictures.get(attach_id)
            if known is not None:
                self._pictures.move_to_end(attach_id)
                return known
            file = await self._records.stored_file(attach_id)
            data = None if file is None else await self._storage.get(file.path)
            if file is None or data is None:
                return None
            picture = await self._for_providers(data, file.media_type)
            self._keep(attach_id, picture)
            return picture

    async def _for_providers(self, data: bytes, media_type: str) -> ReferenceImage:
        """The reference; one in a format that providers do not take, as WebP."""
        if media_type != "image/avif":
            return ReferenceImage(data=data, media_type=media_type)
        return ReferenceImage(data=await self._work.encode(data), media_type="image/webp")

    def _keep(self, attach_id: int, picture: ReferenceImage) -> None:
        self._pictures[attach_id] = picture
        self._picture_bytes += len(picture.data)
        while self._picture_bytes > MOST_REFERENCE_BYTES and len(self._pictures) > 1:
            dropped, old = self._pictures.popitem(last=False)
            self._picture_bytes -= len(old.data)
            self._reading.pop(dropped, None)
