"""Pictures by signed URL, and references that users upload."""

import re
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, File, Path, Query, UploadFile
from fastapi.responses import Response

from darkroom.api.guarded_routes import GuardedRoute
from darkroom.api.problems import Problem, documented
from darkroom.api.services import Services, SignedIn, Uploading, Urls, Use
from darkroom.api.shapes import AttachmentView
from darkroom.api.signed_urls import View
from darkroom.domain.errors import OrderRejected
from darkroom.domain.stored import StoredFile
from darkroom.fair_queue import elsewhere
from darkroom.orders.references import LARGEST_UPLOAD
from darkroom.pictures import NotAPicture

router = APIRouter(route_class=GuardedRoute)

KEEP = timedelta(hours=24)
MULTIPART_OVERHEAD = 64 * 1024
AttachId = Annotated[int, Path(ge=1, lt=2**31, description="The attachment's id.")]
Expires = Annotated[int, Query(ge=0, lt=2**40)]
Signature = Annotated[str, Query(max_length=64)]

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_PICTURE: dict[str, dict[str, str]] = {"image/webp": {}, "image/png": {}, "image/jpeg": {}, "image/avif": {}}


@router.get(
    "/pictures/{attach_id}",
    tags=["pictures"],
    response_class=Response,
    responses={**documented(404), 200: {"content": _PICTURE, "description": "The picture."}},
)
async def picture(
    attach_id: AttachId,
    use: Use,
    expires: Expires,
    signature: Signature,
    download: Annotated[bool, Query(description="Download the picture instead of displaying it.")] = False,
) -> Response:
    """Get a picture as it is stored. The signed URL is the authorization; it is valid for a day."""
    stored = await _signed(use, View.FILE, attach_id, expires, signature)
    async with elsewhere():
        data = await use.parts.storage.get(stored.path)
    if data is None:
        raise Problem(404, f"the file of picture {attach_id} is missing from the storage")
    # Old rows may say anything of their files; what is no picture is saved and never shown.
    known = stored.media_type in _PICTURE
    name = _UNSAFE.sub("_", stored.path.rpartition("/")[2])
    disposition = f'{"attachment" if download or not known else "inline"}; filename="{name}"'
    return Response(
        data,
        media_type=stored.media_type if known else "application/octet-stream",
        headers={**_kept(), "Content-Disposition": disposition},
    )


@router.get(
    "/pictures/{attach_id}/thumbnail",
    tags=["pictures"],
    response_class=Response,
    responses={**documented(404), 200: {"content": {"image/webp": {}}, "description": "The thumbnail."}},
)
async def thumbnail(attach_id: AttachId, use: Use, expires: Expires, signature: Signature) -> Response:
    """Get a picture's thumbnail, at most 192 pixels high."""
    stored = await _signed(use, View.THUMBNAIL, attach_id, expires, signature)
    try:
        async with elsewhere():
            small = await use.thumbnails.get(stored.path)
    except NotAPicture:
        small = None
    if small is None:
        raise Problem(404, f"the file of picture {attach_id} is missing from the storage, or is not a picture")
    return Response(small, media_type="image/webp", headers=_kept())


@router.post(
    "/api/attachments",
    status_code=201,
    tags=["orders"],
    max_body_size=LARGEST_UPLOAD + MULTIPART_OVERHEAD,
    responses=documented(413, 415, 422, 429),
)
async def attach(
    file: Annotated[UploadFile, File(description="PNG, JPEG or WebP.")], caller: Uploading, use: Use, urls: Urls
) -> AttachmentView:
    """Upload a reference picture. It is re-encoded without metadata; the same picture is stored once."""
    name = _plain(file.filename)
    size = file.size or 0
    if size > LARGEST_UPLOAD:
        raise Problem(413, f"{name} has {size:,} bytes, which exceeds the maximum of {LARGEST_UPLOAD:,}")
    await use.quotas.admit_upload(caller, size)
    try:
        async with elsewhere():
            attach_id, upload = await use.parts.uploads.take(name, file, caller.user_id)
    except OrderRejected as error:
        raise Problem(415, error.reason, field="file") from error
    return AttachmentView(
        attach_id=attach_id,
        name=name,
        media_type=upload.facts.media_type,
        width=upload.facts.width,
        height=upload.facts.height,
        size=len(upload.data),
        url=urls.file(attach_id),
        thumbnail_url=urls.thumbnail(attach_id),
    )


@router.get("/api/attachments/{attach_id}", tags=["orders"], responses=documented(404))
async def attachment(attach_id: AttachId, caller: SignedIn, use: Use, urls: Urls) -> AttachmentView:
    """Get one of your attachments, an upload or a delivered picture, with signed URLs."""
    stored = await use.parts.records.stored_file(attach_id)
    if stored is None or not caller.may_see(stored.user_id):
        raise Problem(404, f"there is no attachment {attach_id}, or it is not yours")
    return AttachmentView(
        attach_id=attach_id,
        media_type=stored.media_type,
        url=urls.file(attach_id),
        thumbnail_url=urls.thumbnail(attach_id),
    )


def _plain(given: str | None) -> str:
    """A file's name, without folders and without what cannot be seen: that may make the rest read backwards."""
    last = (given or "").replace("\\", "/").rpartition("/")[2]
    return "".join(sign for sign in last if sign.isprintable())[:200].strip() or "picture"


async def _signed(use: Services, view: View, attach_id: int, expires: int, signature: str) -> StoredFile:
    """The file that a signed URL shows.

    Raises:
        Problem: 404 for a URL that is not ours or has expired, as for a picture that does not exist.
    """
    if use.addresses.holds(view, attach_id, expires, signature):
        stored = await use.parts.records.stored_file(attach_id)
        if stored is not None:
            return stored
    raise Problem(404, "there is no such picture, or its URL has expired; request a new one")


def _kept() -> dict[str, str]:
    return {
        "Cache-Control": f"private, max-age={int(KEEP.total_seconds())}, immutable",
        # Whoever has the signed URL may show it, also on a site of another name.
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
