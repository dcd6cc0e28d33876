"""Pictures that users bring: checked, stored once, and put into order documents."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from darkroom.domain import names
from darkroom.domain.errors import OrderRejected
from darkroom.domain.model import Value
from darkroom.domain.orders import JobType
from darkroom.domain.stored import NewReference
from darkroom.orders import opened
from darkroom.orders.document import snake_keys
from darkroom.orders.oldest import is_oldest
from darkroom.orders.reference_lists import attachments_in, files_in
from darkroom.pictures import HEAD, Cleaner, NotAPicture, PictureFacts, UploadedPictures, digest
from darkroom.records.images import ReferenceRecords
from darkroom.storage import Storage

LARGEST_UPLOAD = 20 * 1024 * 1024
"""Bytes (spec §8)."""

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


class NewUpload(Value):
    """A picture file that is known to be one."""

    name: str
    data: bytes
    facts: PictureFacts
    stage_index: int | None = None
    """The stage it is for; None for all."""
    in_rows: bool = False
    """Whether it is for the rows of a table that name it in `reference`, and for no others."""


class PictureFile(Protocol):
    """A file that was received, and may lie on the disk."""

    size: int | None

    async def read(self, size: int = -1) -> bytes:
        """So many bytes from where it stands, or all that follow."""

    async def seek(self, offset: int) -> None:
        """Stand elsewhere."""


class Uploads:
    """Checks and stores pictures that users bring."""

    def __init__(self, records: ReferenceRecords, storage: Storage, pictures: UploadedPictures) -> None:
        self._records = records
        self._storage = storage
        self._pictures = pictures

    @property
    def pids(self) -> list[int]:
        """The processes that read pictures."""
        return self._pictures.pids

    async def read(self, name: str, data: bytes, stage_index: int | None = None, *, in_rows: bool = False) -> NewUpload:
        """The bytes as an upload, written anew without metadata, whoever brings them; nothing is stored yet.

        Raises:
            OrderRejected: too many bytes or pixels, or not a still picture.
        """
        if len(data) > LARGEST_UPLOAD:
            raise OrderRejected(
                "reference", f"{name} has {len(data):,} bytes, which exceeds the maximum of {LARGEST_UPLOAD:,}"
            )
        async with self._pictures.turn(data[:HEAD], len(data), None) as cleaned:
            upload = await _cleaned(name, data, cleaned)
        return upload.model_copy(update={"stage_index": stage_index, "in_rows": in_rows})

    async def take(self, name: str, file: PictureFile, user_id: UUID) -> tuple[int, NewUpload]:
        """Check and store a file; it is read into memory when it is the user's turn.

        Raises:
            OrderRejected: too many pixels, or not a still picture.
        """
        head = await file.read(HEAD)
        await file.seek(0)
        async with self._pictures.turn(head, file.size or LARGEST_UPLOAD, user_id) as cleaned:
            upload = await _cleaned(name, await file.read(), cleaned)
            return await self.store(upload, user_id), upload

    async def store(self, upload: NewUpload, user_id: UUID | None) -> int:
        """Store the file and its record; the same picture of the same user is stored once."""
        sha256 = digest(upload.data)
        path = names.reference_key(user_id, sha256, _SUFFIXES[upload.facts.media_type])
        await self._storage.put(path, upload.data, upload.facts.media_type)
        reference = NewReference(
            user_id=user_id,
            original_name=upload.name,
            path=path,
            size=len(upload.data),
            media_type=upload.facts.media_type,
            sha256=sha256,
        )
        return await self._records.add_reference(reference)


async def _cleaned(name: str, data: bytes, cleaned: Cleaner) -> NewUpload:
    try:
        clean, facts = await cleaned(data)
    except NotAPicture as error:
        raise OrderRejected("reference", f"{name}: {error}") from None
    return NewUpload(name=name, data=clean, facts=facts)


def with_references(document: dict[str, Any], uploads: Sequence[tuple[int, NewUpload]]) -> dict[str, Any]:
    """The document with attachments added to the stages they are for.

    Args:
        document: the order.
        uploads: each with its attachment, which uploads of the same picture share.

    Raises:
        OrderRejected: a stage that is not in the order, or an order of a kind that takes none.
    """
    if not uploads:
        return document
    content: dict[str, Any] = snake_keys(copy.deepcopy(document))
    _name_files(content, {upload.name: attach_id for attach_id, upload in uploads if upload.in_rows})
    for attach_id, upload in uploads:
        if upload.in_rows:
            continue
        entry = {"attach_id": attach_id, "type": "reference"}
        for part, key in _places(content, upload):
            there = part.get(key) or []
            there = attachments_in(there) if key == "references" else there
            if isinstance(there, list):  # else whoever reads the document says what is wrong with it
                part[key] = [*there, entry]
    return content


def files_named(document: Any) -> dict[str, str]:
    """The files that a document's rows name in `reference`, each with the first field that does."""
    content = snake_keys(opened(document)) if isinstance(opened(document), dict) else {}
    found: dict[str, str] = {}
    for where, part in _naming_files(content):
        names = files_in(part["reference"])
        for name in names if isinstance(names, list) else ():
            if isinstance(name, str):
                found.setdefault(name, f"{where}reference")
    return found


def _naming_files(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts of a document that may name files, and where they stand."""
    rows = content.get("rows")
    parts = [("", content)] if isinstance(rows, list) or "variables" in content else []
    parts += [(f"rows[{at}].", row) for at, row in enumerate(rows) if isinstance(row, dict)] if parts and rows else []
    return ((where, part) for where, part in parts if "reference" in part)


def _name_files(content: dict[str, Any], stored: Mapping[str, int]) -> None:
    """Put the attachments of files in the place of their names."""
    for _, part in _naming_files(content):
        names = files_in(part["reference"])
        if not isinstance(names, list) or not all(isinstance(name, str) and name in stored for name in names):
            continue  # the order is rejected for it
        there = attachments_in(part.get("references") or [])
        if isinstance(there, list):
            part["references"] = [*there, *({"attach_id": stored[name], "type": "reference"} for name in names)]
            del part["reference"]


def _places(content: dict[str, Any], upload: NewUpload) -> list[tuple[dict[str, Any], str]]:
    stages = content.get("stages")
    if isinstance(stages, list):
        parts = [
            (part.get("stage_index", position), part) for position, part in enumerate(stages) if isinstance(part, dict)
        ]
        chosen = [part for index, part in parts if upload.stage_index is None or index == upload.stage_index]
        if not chosen and upload.stage_index is not None:
            raise OrderRejected("reference", f"{upload.name}: the order has no stage_index {upload.stage_index}")
        return [(part, "individual_image_attach_ids") for part in chosen]
    if "merged_images" in content:
        raise OrderRejected("reference", f"{upload.name}: a simple_portrait order takes its pictures from mergedImages")
    rows = content.get("rows")
    if isinstance(rows, list):
        return [(part, "references") for part in _rows_for(content, rows, upload)]
    if upload.stage_index not in (None, 0):
        raise OrderRejected("reference", f"{upload.name}: {_no_stage(content, upload.stage_index)}")
    if "variables" in content or content.get("job_type") == JobType.TEMPLATE:
        return [(content, "references")]
    if "base_prompt" in content or is_oldest(content, None):
        return [(content, "individual_image_attach_ids")]
    return [(content, "uploaded_attach_ids")]


def _no_stage(content: dict[str, Any], index: int | None) -> str:
    if "variables" in content or "combinations" in content:
        return "all stages of this order have the same references; leave out the stage"
    return f"the order has no stage_index {index}"


def _rows_for(content: dict[str, Any], rows: list[Any], upload: NewUpload) -> list[dict[str, Any]]:
    """The document for those rows that have no references of their own, and each row that has."""
    if upload.stage_index is None:
        return [content, *(row for row in rows if isinstance(row, dict) and row.get("references"))]
    if upload.stage_index >= len(rows) or not isinstance(rows[upload.stage_index], dict):
        raise OrderRejected("reference", f"{upload.name}: the order has no stage_index {upload.stage_index}")
    row = rows[upload.stage_index]
    row.setdefault("references", content.get("references") or [])
    return [row]
