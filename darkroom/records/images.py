"""The records of attachments: pictures that users bring, and images as they are made."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from darkroom.domain.attempts import Attempt, AttemptEnd, BegunAttempt, OpenCall
from darkroom.domain.groups import Attached, AttachGroupInput
from darkroom.domain.images import AttachInput, AttachResult
from darkroom.domain.orders import ReferenceOwner
from darkroom.domain.rounds import StageCounts
from darkroom.domain.sources import PictureOrigin, PictureSource
from darkroom.domain.stored import NewReference, StoredFile


class ReferenceRecords(Protocol):
    """Pictures that stages are drawn after, and where any attachment lies."""

    async def reference_owners(self, attach_ids: Collection[int]) -> Mapping[int, ReferenceOwner]:
        """Those of the attachments that exist and can be shown, with their owners."""
        ...

    async def stored_file(self, attach_id: int) -> StoredFile | None:
        """Where an attachment's file lies; None when there is none that can be shown."""
        ...

    async def add_reference(self, reference: NewReference) -> int:
        """Record an uploaded picture; the same picture of the same user is the same attachment."""
        ...


class ImageRecords(Protocol):
    """The images of a stage, from the first call to the attachment."""

    async def next_ordinals(self, job_id: UUID, stage_index: int, limit: int) -> Sequence[int]:
        """The ordinals to make next, ascending, at most `limit` and at most a page."""
        ...

    async def begin_attempt(self, attempt: Attempt, *, looked: bool) -> BegunAttempt:
        """Ask to call the provider; writes the attempt's row before it is called (spec §3)."""
        ...

    async def unsettled_attempts(
        self, job_id: UUID, stage_index: int, after: int, limit: int
    ) -> Sequence[tuple[int, UUID]]:
        """`(ordinal, call_id)` of calls that may have left a picture which is not delivered.

        All such calls of at most `limit` ordinals above `after`: ordinals ascending, of each the newest call first.
        """
        ...

    async def open_calls(self, job_id: UUID, stage_index: int, within_seconds: float) -> Sequence[OpenCall]:
        """Calls without an outcome, of images that are not delivered, that started at most so long ago."""
        ...

    async def finish_attempt(self, call_id: UUID, end: AttemptEnd) -> None:
        """Write how a call ended, unless that is written already."""
        ...

    async def note_source(self, call_id: UUID, source: PictureSource) -> PictureOrigin:
        """Write what a call brought, for the attachment that is made of it; who drew it."""
        ...

    async def attach(self, image: AttachInput) -> AttachResult:
        """Insert the attachment of an image or find the one that is there."""
        ...

    async def attach_group(self, group: AttachGroupInput) -> Sequence[Attached]:
        """`attach` for several images of a stage in one transaction; what becomes of each, in their order.

        An image that the records refuse is one with `refused`, and changes nothing of the others.
        """
        ...

    async def stage_counts(self, job_id: UUID, stage_index: int) -> StageCounts:
        """What the records know of one stage."""
        ...

    async def delivered_pairs(
        self, job_id: UUID, stage_index: int, after: int, limit: int
    ) -> Sequence[tuple[int, int]]:
        """Delivered `(ordinal, attach_id)` of a stage above the ordinal `after`, ascending."""
        ...

    async def may_remove_leftovers(self, job_id: UUID, run_id: str, failed_before: datetime | None = None) -> bool:
        """Whether this run ended the job, completed or cancelled, and no later run has opened it.

        A failed job's pictures wait for a restart; they may go when it ended before `failed_before`.
        """
        ...

    async def drop_undelivered(self, job_id: UUID, run_id: str, failed_before: datetime | None = None) -> None:
        """Delete the attachment rows of a job's images that were never delivered, if this run may."""
        ...
