"""Groups: images of one batch that take a step together, in one activity and one transaction, each with its own result.

A group holds what is ready when the one before it ends, so no picture waits for company; a picture that is alone takes
the activity for one. What all have in common is said once, and what is as usual not at all: histories stay short.
"""

from collections.abc import Iterator
from typing import Self
from uuid import UUID

from darkroom.domain.costs import Usd
from darkroom.domain.images import (
    AttachInput,
    AttachResult,
    CreditResult,
    ImageKey,
    Outcome,
    Settlement,
    UploadInput,
    UploadResult,
)
from darkroom.domain.model import Compact, Value
from darkroom.domain.money import SettledImage

MOST_IN_GROUP = 50
"""Keys of one group: one transaction of some tens of milliseconds, and a payload below 12 KiB."""


MOST_UPLOADS = 8
MOST_UPLOAD_BYTES = 20_000_000
"""Pictures of one upload, and what they weigh as the provider gave them: a group is soon over."""

UNKNOWN_SIZE = 5_000_000
"""What a picture counts for that was found in staging."""


class StagedPicture(Compact):
    """A picture in staging, of a group."""

    ordinal: int
    call_id: UUID | None = None
    cost_usd: Usd | None = None


class UploadGroupInput(Value):
    """Move several staged pictures of a stage to their final places."""

    job_id: UUID
    stage_index: int
    user_id: UUID | None
    pictures: tuple[StagedPicture, ...]

    def uploads(self) -> Iterator[UploadInput]:
        """Each of them as the activity for one takes it."""
        for picture in self.pictures:
            key = ImageKey(job_id=self.job_id, stage_index=self.stage_index, ordinal=picture.ordinal)
            yield UploadInput(key=key, user_id=self.user_id, call_id=picture.call_id, cost_usd=picture.cost_usd)


class Uploaded(Compact):
    """What became of one picture of a group; `UploadResult` says the same of one that is alone."""

    outcome: Outcome = Outcome.GENERATED
    name: str | None = None
    """Of its file, in the group's directory."""
    size: int | None = None
    sha256: str | None = None
    attach_id: int | None = None
    reason: str | None = None
    again: bool = False
    """It was slow, or the storage did not take it now: it goes alone, and holds up no other."""


class UploadGroupResult(Value):
    """What became of the pictures of a group, in their order."""

    directory: str
    results: tuple[Uploaded, ...]

    def each(self) -> Iterator[UploadResult | None]:
        """The results as the activity for one gives them; None for a picture that goes alone."""
        for result in self.results:
            if result.again:
                yield None
                continue
            yield UploadResult(
                outcome=result.outcome,
                path=None if result.name is None else f"{self.directory}/{result.name}",
                size=result.size,
                sha256=result.sha256,
                attach_id=result.attach_id,
                reason=result.reason,
            )


class NewFile(Compact):
    """The stored file of one image of a group."""

    ordinal: int
    call_id: UUID | None = None
    seconds: float | None = None
    """How long the provider took, where this execution knows."""
    cost_usd: Usd | None = None
    name: str
    """In the group's directory."""
    size: int
    sha256: str


class AttachGroupInput(Value):
    """Record the stored files of several images of a stage."""

    job_id: UUID
    stage_index: int
    run_id: str
    directory: str
    """Where all of them lie."""
    files: tuple[NewFile, ...]

    def image_keys(self) -> Iterator[ImageKey]:
        """Whose files they are."""
        for file in self.files:
            yield ImageKey(job_id=self.job_id, stage_index=self.stage_index, ordinal=file.ordinal)

    @classmethod
    def of(cls, images: list[AttachInput]) -> Self:
        """The group of these images of one stage, whose files lie in one directory."""
        key = images[0].key
        return cls(
            job_id=key.job_id,
            stage_index=key.stage_index,
            run_id=images[0].run_id,
            directory=images[0].directory,
            files=tuple(
                NewFile(
                    ordinal=image.key.ordinal,
                    call_id=image.call_id,
                    seconds=image.seconds,
                    cost_usd=image.cost_usd,
                    name=image.name,
                    size=image.size,
                    sha256=image.sha256,
                )
                for image in images
            ),
        )

    def images(self) -> Iterator[AttachInput]:
        """Each of them as the activity for one takes it."""
        for file in self.files:
            key = ImageKey(job_id=self.job_id, stage_index=self.stage_index, ordinal=file.ordinal)
            yield AttachInput(
                key=key,
                run_id=self.run_id,
                call_id=file.call_id,
                seconds=file.seconds,
                cost_usd=file.cost_usd,
                path=f"{self.directory}/{file.name}",
                size=file.size,
                sha256=file.sha256,
            )


class Attached(Compact):
    """What became of one image of a group; `AttachResult` says the same of one that is alone."""

    attach_id: int | None = None
    reason: str | None = None
    refused: bool = False
    """Whether the records refuse this image alone: retrying cannot help, and the job stops."""

    @classmethod
    def of(cls, result: AttachResult) -> Self:
        """What the activity for one says of it."""
        return cls(attach_id=result.attach_id, reason=result.reason)


class AttachGroupResult(Value):
    """What became of the images of a group, in their order."""

    results: tuple[Attached, ...]


class CreditGroupInput(Value):
    """Settle several images of a stage, in this order."""

    job_id: UUID
    stage_index: int
    run_id: str
    ordinals: tuple[int, ...]

    def image_keys(self) -> Iterator[ImageKey]:
        """Each of them as the activity for one takes it."""
        for ordinal in self.ordinals:
            yield ImageKey(job_id=self.job_id, stage_index=self.stage_index, ordinal=ordinal)


class Credited(Compact):
    """What became of the settlement of one image of a group."""

    settlement: Settlement = Settlement.SETTLED
    attach_id: int | None = None
    reason: str | None = None

    @classmethod
    def of(cls, settled: SettledImage | CreditResult) -> Self:
        """What the records, or the activity for one, say of it."""
        return cls(settlement=settled.settlement, attach_id=settled.attach_id, reason=settled.reason)


class CreditGroupResult(Value):
    """What became of the settlements of a group, in their order."""

    results: tuple[Credited, ...]
