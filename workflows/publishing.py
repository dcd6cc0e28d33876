"""From a staged picture to a settled image: upload, attach and credit (part of the batch's workflow)."""

from collections.abc import Sequence
from functools import cached_property
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.images import ImageActivities
    from darkroom.domain.batches import BatchInput
    from darkroom.domain.groups import (
        MOST_IN_GROUP,
        Attached,
        AttachGroupInput,
        Credited,
        CreditGroupInput,
    )
    from darkroom.domain.images import AttachInput, CreditInput, ImageKey, UploadInput, UploadResult
    from darkroom.domain.names import TaskQueue, activity_label, group_label
    from workflows.groups import Together
    from workflows.patches import GROUPS
    from workflows.policies import RECORD_WRITE, SETTLEMENT, STORAGE_WRITE


class Publishing:
    """The steps of a batch's pictures after their calls. No decisions."""

    def __init__(self, batch: BatchInput) -> None:
        self._batch = batch
        self._attaching = Together(self._attach, self._attach_group, MOST_IN_GROUP)
        self._crediting = Together(self._credit, self._credit_group, MOST_IN_GROUP)

    def key(self, ordinal: int) -> ImageKey:
        """The key of one of the batch's images."""
        return ImageKey(job_id=self._batch.job_id, stage_index=self._batch.stage_index, ordinal=ordinal)

    def label(self, ordinal: int) -> str:
        """What the Web UI shows beside the activities of one of them."""
        return activity_label(self._batch.stage_index, ordinal)

    async def upload(self, ordinal: int, call_id: UUID | None) -> UploadResult:
        """Encode and store the picture of a call."""
        return await workflow.execute_activity_method(
            ImageActivities.upload,
            UploadInput(key=self.key(ordinal), user_id=self._batch.user_id, call_id=call_id),
            task_queue=TaskQueue.PUBLISH,
            summary=self.label(ordinal),
            **STORAGE_WRITE,
        )

    async def attach(self, image: AttachInput) -> Attached:
        """Record a stored picture."""
        return await (self._attaching.take(image) if self._in_groups else self._attach(image))

    async def credit(self, ordinal: int) -> Credited:
        """Settle an image."""
        return await (self._crediting.take(ordinal) if self._in_groups else self._credit(ordinal))

    @cached_property
    def _in_groups(self) -> bool:
        return workflow.patched(GROUPS)

    async def _attach(self, image: AttachInput) -> Attached:
        result = await workflow.execute_activity_method(
            ImageActivities.attach,
            image,
            task_queue=TaskQueue.ORCHESTRATE,
            summary=self.label(image.key.ordinal),
            **RECORD_WRITE,
        )
        return Attached.of(result)

    async def _attach_group(self, images: list[AttachInput]) -> Sequence[Attached]:
        group = await workflow.execute_activity_method(
            ImageActivities.attach_group,
            AttachGroupInput.of(images),
            task_queue=TaskQueue.ORCHESTRATE,
            summary=group_label(self._batch.stage_index, [image.key.ordinal for image in images]),
            **RECORD_WRITE,
        )
        return group.results

    async def _credit(self, ordinal: int) -> Credited:
        result = await workflow.execute_activity_method(
            ImageActivities.credit,
            CreditInput(key=self.key(ordinal), run_id=self._batch.run_id),
            task_queue=TaskQueue.ORCHESTRATE,
            summary=self.label(ordinal),
            **SETTLEMENT,
        )
        return Credited.of(result)

    async def _credit_group(self, ordinals: list[int]) -> Sequence[Credited]:
        group = await workflow.execute_activity_method(
            ImageActivities.credit_group,
            CreditGroupInput(
                job_id=self._batch.job_id,
                stage_index=self._batch.stage_index,
                run_id=self._batch.run_id,
                ordinals=tuple(ordinals),
            ),
            task_queue=TaskQueue.ORCHESTRATE,
            summary=group_label(self._batch.stage_index, ordinals),
            **SETTLEMENT,
        )
        return group.results
