"""From a staged picture to a settled image: upload, attach and credit (part of the batch's workflow)."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple, Self
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.images import ImageActivities
    from darkroom.domain.batches import BatchInput
    from darkroom.domain.groups import (
        MOST_IN_GROUP,
        MOST_UPLOAD_BYTES,
        MOST_UPLOADS,
        UNKNOWN_SIZE,
        Attached,
        AttachGroupInput,
        Credited,
        CreditGroupInput,
        StagedPicture,
        UploadGroupInput,
        UploadGroupResult,
    )
    from darkroom.domain.images import AttachInput, CreditInput, GenerateResult, ImageKey, UploadInput, UploadResult
    from darkroom.domain.names import TaskQueue, activity_label, group_label
    from workflows.groups import Together
    from workflows.local_steps import take_step
    from workflows.policies import RECORD_WRITE, SETTLEMENT, STORAGE_WRITE


UPLOADS_AT_ONCE = 2
"""Groups of a batch on their way: while one waits for its slowest picture, the next one goes."""


class StagedCall(NamedTuple):
    """A call whose picture is in staging, and what this execution knows of it."""

    call_id: UUID | None
    size: int | None = None
    """Bytes."""
    seconds: float | None = None
    cost_usd: Decimal | None = None

    @classmethod
    def of(cls, made: GenerateResult) -> Self:
        """The call of a picture that was just generated."""
        return cls(made.call_id, made.size, made.seconds, made.cost_usd)


class Picture(NamedTuple):
    """The picture of an image that waits for its upload."""

    ordinal: int
    call: StagedCall

    @property
    def size(self) -> int:
        """Bytes, as far as they are known."""
        return self.call.size or UNKNOWN_SIZE


class Publishing:
    """The steps of a batch's pictures after their calls. No decisions.

    Args:
        batch: which one.
        begins_more: whether calls are still to begin, which a local step would hold up.
    """

    def __init__(self, batch: BatchInput, begins_more: Callable[[], bool]) -> None:
        self._batch = batch
        self._begins_more = begins_more
        self._in_groups = batch.generation >= 1
        self._uploading = Together(
            self._upload_alone,
            self._upload_group,
            most=MOST_UPLOADS,
            at_once=UPLOADS_AT_ONCE,
            weighs=lambda picture: picture.size,
            heaviest=MOST_UPLOAD_BYTES,
        )
        self._attaching = Together(self._attach, self._attach_group, most=MOST_IN_GROUP)
        self._crediting = Together(self._credit, self._credit_group, most=MOST_IN_GROUP)

    @property
    def _local(self) -> bool:
        return self._batch.generation >= 3 and not self._begins_more()

    def key(self, ordinal: int) -> ImageKey:
        """The key of one of the batch's images."""
        return ImageKey(job_id=self._batch.job_id, stage_index=self._batch.stage_index, ordinal=ordinal)

    def label(self, ordinal: int) -> str:
        """What the Web UI shows beside the activities of one of them."""
        return activity_label(self._batch.stage_index, ordinal)

    async def upload(self, ordinal: int, call: StagedCall) -> UploadResult:
        """Encode and store the picture of a call."""
        picture = Picture(ordinal, call)
        together = await self._uploading.take(picture) if self._in_groups else None
        return together or await self._upload(picture)

    async def attach(self, image: AttachInput) -> Attached:
        """Record a stored picture."""
        return await (self._attaching.take(image) if self._in_groups else self._attach(image))

    async def credit(self, ordinal: int) -> Credited:
        """Settle an image."""
        return await (self._crediting.take(ordinal) if self._in_groups else self._credit(ordinal))

    async def _upload_alone(self, picture: Picture) -> UploadResult | None:
        return await self._upload(picture)

    async def _upload(self, picture: Picture) -> UploadResult:
        return await workflow.execute_activity_method(
            ImageActivities.upload,
            UploadInput(
                key=self.key(picture.ordinal),
                user_id=self._batch.user_id,
                call_id=picture.call.call_id,
                cost_usd=picture.call.cost_usd,
            ),
            task_queue=TaskQueue.PUBLISH,
            summary=self.label(picture.ordinal),
            **STORAGE_WRITE,
        )

    async def _upload_group(self, pictures: list[Picture]) -> Sequence[UploadResult | None]:
        group: UploadGroupResult = await workflow.execute_activity_method(
            ImageActivities.upload_group,
            UploadGroupInput(
                job_id=self._batch.job_id,
                stage_index=self._batch.stage_index,
                user_id=self._batch.user_id,
                pictures=tuple(
                    StagedPicture(ordinal=it.ordinal, call_id=it.call.call_id, cost_usd=it.call.cost_usd)
                    for it in pictures
                ),
            ),
            task_queue=TaskQueue.PUBLISH,
            summary=group_label(self._batch.stage_index, [picture.ordinal for picture in pictures]),
            **STORAGE_WRITE,
        )
        return list(group.each())

    async def _attach(self, image: AttachInput) -> Attached:
        result = await take_step(
            ImageActivities.attach,
            image,
            local=self._local,
            summary=self.label(image.key.ordinal),
            policy=RECORD_WRITE,
        )
        return Attached.of(result)

    async def _attach_group(self, images: list[AttachInput]) -> Sequence[Attached]:
        group = await take_step(
            ImageActivities.attach_group,
            AttachGroupInput.of(images),
            local=self._local,
            summary=group_label(self._batch.stage_index, [image.key.ordinal for image in images]),
            policy=RECORD_WRITE,
        )
        return group.results

    async def _credit(self, ordinal: int) -> Credited:
        result = await take_step(
            ImageActivities.credit,
            CreditInput(key=self.key(ordinal), run_id=self._batch.run_id),
            local=self._local,
            summary=self.label(ordinal),
            policy=SETTLEMENT,
        )
        return Credited.of(result)

    async def _credit_group(self, ordinals: list[int]) -> Sequence[Credited]:
        group = await take_step(
            ImageActivities.credit_group,
            CreditGroupInput(
                job_id=self._batch.job_id,
                stage_index=self._batch.stage_index,
                run_id=self._batch.run_id,
                ordinals=tuple(ordinals),
            ),
            local=self._local,
            summary=group_label(self._batch.stage_index, ordinals),
            policy=SETTLEMENT,
        )
        return group.results
