"""Stored files and documents as the records describe them."""

from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from darkroom.domain.formats import suffix_of
from darkroom.domain.model import Value
from darkroom.domain.names import download_name, sidecar_key


class StoredFile(Value):
    """Where an attachment's file lies."""

    attach_id: int
    path: str
    media_type: str
    user_id: UUID | None


class ProductionOwner(Value):
    """Who a production belongs to; rows from before Darkroom may have no owner."""

    user_id: UUID | None


class NewReference(Value):
    """An uploaded picture whose file is stored already."""

    user_id: UUID | None
    original_name: str
    path: str
    size: int
    media_type: str
    sha256: str


class DeliveredImage(Value):
    """One delivered picture."""

    attach_id: int
    job_id: UUID
    stage_index: int
    ordinal: int
    path: str
    size: int
    sha256: str | None
    delivered_at: datetime

    @property
    def file_name(self) -> str:
        """What it is called as a file of its own: `stage-0-12.webp` is image 12 of stage 0."""
        return download_name(self.stage_index, self.ordinal, suffix_of(self.path))

    @property
    def sidecar(self) -> str | None:
        """Where its mark lies, if that is a file beside it."""
        return sidecar_key(self.path)

    @property
    def files(self) -> dict[str, str]:
        """By path, what each of its files is called: the picture first, then the mark beside it."""
        mark = self.sidecar
        beside = {} if mark is None else {mark: download_name(self.stage_index, self.ordinal, suffix_of(mark))}
        return {self.path: self.file_name, **beside}


class InsertedBy(Value):
    """The user who inserted a job's row."""

    user_id: UUID | None
    """None for somebody who had not signed in."""


class OrderSource(Value):
    """What a job was made from."""

    job_id: UUID
    job_type: str | None
    user_id: UUID | None
    org_id: UUID | None = None
    """The row's column."""
    production_id: UUID | None
    document: JsonValue
    inserted_by: InsertedBy | None = None
    """None where a server inserted the row, the command line, or somebody before this was recorded."""
    opened: bool
    """Whether its stages are stored; then the document is not read again."""
