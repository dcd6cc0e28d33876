"""Pictures that users bring: checked, stored once, and put into order documents."""

import copy
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from darkroom.domain import names
from darkroom.domain.errors import OrderRejected
from darkroom.domain.model import Value
from darkroom.domain.stored import NewReference
from darkroom.orders.document import snake_keys
from darkroom.pictures import NotAPicture, PictureFacts, PictureWork, digest
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


class Uploads:
    """Checks and stores pictures that users bring."""

    def __init__(self, records: ReferenceRecords, storage: Storage, pictures: PictureWork) -> None:
        self._records = records
        self._storage = storage
        self._pictures = pictures

    async def read(self, name: str, data: bytes, stage_index: int | None = None) -> NewUpload:
        """The bytes as an upload, written anew without metadata, whoever brings them; nothing is stored yet.

        Raises:
            OrderRejected: too many bytes or pixels, or not a still picture.
        """
        if len(data) > LARGEST_UPLOAD:
            raise OrderRejected(
                "reference", f"{name} has {len(data):,} bytes, which exceeds the maximum of {LARGEST_UPLOAD:,}"
            )
        try:
            clean, facts = await self._pictures.cleaned(data)
        except NotAPicture as error:
            raise OrderRejected("reference", f"{name}: {error}") from None
        return NewUpload(name=name, data=clean, facts=facts, stage_index=stage_index)

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


def with_references(document: dict[str, Any], uploads: Mapping[int, NewUpload]) -> dict[str, Any]:
    """The document with attachments added to the stages they are for.

    Raises:
        OrderRejected: a stage that is not in the order, or an order of a kind that takes none.
    """
    if not uploads:
        return document
    content: dict[str, Any] = snake_keys(copy.deepcopy(document))
    for attach_id, upload in uploads.items():
        entry = {"attach_id": attach_id, "type": "reference"}
        for part, key in _places(content, upload):
            there = part.get(key) or []
            if isinstance(there, list):  # else whoever reads the document says what is wrong with it
                part[key] = [*there, entry]
    return content


def _places(content: dict[str, Any], upload: NewUpload) -> list[tuple[dict[str, Any], str]]:
    stages = content.get("stages")
    if isinstance(stages, list):
        parts = [
            (part.get("stage_index", position), part) for position, part in enumerate(stages) if isinstance(part, dict)
        ]
        chosen = [part for index, part in parts if upload.stage_index is None or index == upload.stage_index]
        if not chosen and upload.stage_index is not None:
            raise OrderRejected("reference", f"{upload.name}: the order has no stage {upload.stage_index}")
        return [(part, "individual_image_attach_ids") for part in chosen]
    if "merged_images" in content:
        raise OrderRejected("reference", f"{upload.name}: a simple_portrait order takes its pictures from mergedImages")
    if upload.stage_index not in (None, 0):
        raise OrderRejected("reference", f"{upload.name}: the order has no stage {upload.stage_index}")
    return [(content, "uploaded_attach_ids")]
