"""Pictures by their addresses: shown to whoever has one, for a day; what is no picture is never shown."""

import io
from datetime import timedelta

import pytest
from PIL import Image

from darkroom.api.signed_urls import LIFETIME, STEP, Addresses, View
from darkroom.api.thumbnails import Thumbnails
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.stored import NewReference
from darkroom.pictures import THUMBNAIL_HEIGHT
from tests.support.stacks.api import ApiStack


async def kept(api: ApiStack, name: str, data: bytes, media_type: str) -> int:
    """An attachment as a row of before Darkroom may have it."""
    path = f"uploads/{name}"
    await api.parts.storage.put(path, data, media_type)
    reference = NewReference(
        user_id=LOCAL_USER, original_name=name, path=path, size=len(data), media_type=media_type, sha256="00" * 32
    )
    return await api.parts.records.add_reference(reference)


def png(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/pdf", ""])
async def test_what_is_no_picture_is_saved_and_never_shown(quiet: ApiStack, media_type: str) -> None:
    attach_id = await kept(quiet, "page.html", b"<script>alert(1)</script>", media_type)
    answer = await quiet.http.get(quiet.services.addresses.file(attach_id))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await quiet.http.get(quiet.services.addresses.thumbnail(attach_id))).status_code == 404


@pytest.mark.parametrize(
    ("size", "small"),
    [((1376, 768), (344, 192)), ((64, 64), (64, 64)), ((200, 4000), (10, 192)), ((4000, 200), (1536, 77))],
)
async def test_a_thumbnail_is_small_and_never_larger_than_the_picture(
    quiet: ApiStack, size: tuple[int, int], small: tuple[int, int]
) -> None:
    attach_id = await kept(quiet, "a.png", png(*size), "image/png")
    answer = await quiet.http.get(quiet.services.addresses.thumbnail(attach_id))
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.format == "WEBP"
        assert picture.height <= THUMBNAIL_HEIGHT
        assert abs(picture.width - small[0]) <= 1
        assert abs(picture.height - small[1]) <= 1


async def test_a_browser_keeps_pictures_and_can_save_them(quiet: ApiStack) -> None:
    attach_id = await kept(quiet, "a.png", png(9, 9), "image/png")
    address = quiet.services.addresses.file(attach_id)
    shown, saved = await quiet.http.get(address), await quiet.http.get(f"{address}&download=true")
    assert "immutable" in shown.headers["cache-control"]
    assert shown.headers["content-disposition"] == 'inline; filename="a.png"'
    assert saved.headers["content-disposition"] == 'attachment; filename="a.png"'


async def test_thumbnails_are_kept_as_far_as_they_fit(quiet: ApiStack) -> None:
    thumbnails = Thumbnails(quiet.parts.storage, quiet.parts.pictures, kept=400)
    for number in range(6):
        await kept(quiet, f"{number}.png", png(90 + number, 90), "image/png")
        assert await thumbnails.get(f"uploads/{number}.png")
    assert thumbnails._size == sum(len(made) for made in thumbnails._made.values()) <= 400
    assert "uploads/5.png" in thumbnails._made
    assert "uploads/0.png" not in thumbnails._made


def test_addresses_hold_for_a_day_and_are_the_same_within_an_hour() -> None:
    now = [1_000_000.0]
    addresses = Addresses(b"a secret", clock=lambda: now[0])

    def parts(address: str) -> tuple[int, str]:
        expires, signature = address.partition("?")[2].split("&")
        return int(expires.partition("=")[2]), signature.partition("=")[2]

    first = addresses.file(7)
    expires, signature = parts(first)
    now[0] += 60
    assert addresses.file(7) == first
    assert addresses.holds(View.FILE, 7, expires, signature)
    for view, attach_id, until, signed in (
        (View.THUMBNAIL, 7, expires, signature),
        (View.FILE, 8, expires, signature),
        (View.FILE, 7, expires + 1, signature),
        (View.FILE, 7, expires, signature[:-1]),
        (View.FILE, 7, expires, "é"),
        (View.FILE, 7, expires, ""),
    ):
        assert not addresses.holds(view, attach_id, until, signed)
    assert not Addresses(b"another secret", clock=lambda: now[0]).holds(View.FILE, 7, expires, signature)
    assert timedelta(seconds=expires - 1_000_000) >= LIFETIME
    assert timedelta(seconds=expires - 1_000_000) <= LIFETIME + STEP
    now[0] = expires
    assert not addresses.holds(View.FILE, 7, expires, signature)
