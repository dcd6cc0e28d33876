"""Bytes that are pictures, and pictures that are WebP; all of it runs in threads."""

import asyncio
import io
import os
from hashlib import sha256
from typing import Any

from PIL import Image, UnidentifiedImageError

from darkroom.decoding.colours import as_shown, shown_size
from darkroom.decoding.foreign_formats import foreign_format
from darkroom.decoding.png_chunks import plain
from darkroom.domain.model import Value

LARGEST_PICTURE = 120_000_000
"""Pixels. More than any provider draws; a file that claims more is an attack or a mistake."""

UPLOADED_PIXELS = 40_000_000
"""Pixels of a picture that a stranger uploads: 160 MB when it is decoded, and twice that while it is written anew."""

LONGEST_SIDE = 16_383
"""Pixels; WebP holds no more."""

# Our own limit, checked before a pixel is decoded, replaces Pillow's warning.
Image.MAX_IMAGE_PIXELS = None

_MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


class NotAPicture(Exception):
    """Bytes that cannot be decoded as PNG, JPEG or WebP."""


class PictureFacts(Value):
    """What the bytes turned out to be."""

    media_type: str
    width: int
    height: int


def inspect(data: bytes) -> PictureFacts:
    """Decode the whole picture, so that what is cut short is found too.

    Raises:
        NotAPicture: why it cannot be used.
    """
    with _open(data) as image:
        width, height = shown_size(image)
        return PictureFacts(media_type=_MEDIA_TYPES[_kind(image)], width=width, height=height)


def encode_webp(data: bytes, quality: int, method: int) -> bytes:
    """The picture as WebP: upright, in sRGB.

    Raises:
        NotAPicture: why it cannot be used.
    """
    shown = _shown(data)
    target = io.BytesIO()
    try:
        shown.save(target, "WEBP", quality=quality, method=method)
    except (OSError, ValueError) as error:
        raise NotAPicture(f"{shown.width}x{shown.height} pixels cannot be written as WebP ({error})") from error
    return target.getvalue()


def encode_png(data: bytes) -> bytes:
    """The picture as PNG: upright, in sRGB.

    Raises:
        NotAPicture: why it cannot be used.
    """
    target = io.BytesIO()
    _shown(data).save(target, "PNG")
    return target.getvalue()


def thumbnail(data: bytes, height: int, quality: int = 80) -> bytes:
    """A small WebP of the picture, at most so many pixels high and 8 times as wide.

    Raises:
        NotAPicture: why it cannot be used.
    """
    small = _shown(data)
    small.thumbnail((8 * height, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    target = io.BytesIO()
    small.save(target, "WEBP", quality=quality, method=2)
    return target.getvalue()


def cleaned(data: bytes) -> tuple[bytes, PictureFacts]:
    """The picture written anew in its own format: upright, in sRGB, and nothing but pixels.

    Whatever else a file carries (places, names, a second file behind the first) does not come along.

    Raises:
        NotAPicture: why it cannot be used.
    """
    foreign = foreign_format(data)
    if foreign:
        raise NotAPicture(
            f"this is a picture in {foreign} format, which cannot be a reference; convert it to JPEG or PNG"
        )
    with _open(data, UPLOADED_PIXELS) as image:
        kind = _kind(image)
        clean = _as_shown(image)
    del image  # its pixels, before the encoder needs as much again
    target = io.BytesIO()
    options: dict[str, Any] = {"quality": 95} if kind != "PNG" else {}
    if kind == "WEBP":
        options |= {"lossless": False, "method": 2}
    clean.save(target, kind, **options)
    return target.getvalue(), PictureFacts(media_type=_MEDIA_TYPES[kind], width=clean.width, height=clean.height)


def _shown(data: bytes) -> Image.Image:
    with _open(data) as image:
        return _as_shown(image)


def _as_shown(image: Image.Image) -> Image.Image:
    try:
        return as_shown(image)
    except MemoryError:
        raise
    except Exception as error:
        raise NotAPicture(f"its colours cannot be read ({error})") from error


def guess_media_type(data: bytes) -> str:
    """What the first bytes say; nothing else is looked at, so that no file can do harm."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/octet-stream"


def digest(data: bytes) -> str:
    """The SHA-256 of the bytes, in hex."""
    return sha256(data).hexdigest()


def _open(data: bytes, most: int = LARGEST_PICTURE) -> Image.Image:
    try:
        png = plain(data)
        image = Image.open(io.BytesIO(png.data), formats=list(_MEDIA_TYPES))
        _check_size(image, most)
        image.load()
        if png.profile:
            image.info["icc_profile"] = png.profile
    except (NotAPicture, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise NotAPicture(f"{len(data)} bytes are not a PNG, JPEG or WebP picture") from error
    except Exception as error:
        # Pillow's decoders raise nearly anything for broken files: struct.error, IndexError, SyntaxError.
        raise NotAPicture(f"{len(data)} bytes are not a PNG, JPEG or WebP picture ({error})") from error
    return image


def _kind(image: Image.Image) -> str:
    """The format of a picture. Phones put more pictures behind a JPEG, which makes it an MPO; the first one counts."""
    return "JPEG" if image.format == "MPO" else image.format or ""


def _check_size(image: Image.Image, most: int) -> None:
    if image.width * image.height > most:
        raise NotAPicture(f"{image.width}x{image.height} pixels exceed the maximum of {most:,}")
    if getattr(image, "n_frames", 1) > 1 and image.format in _MEDIA_TYPES and most < LARGEST_PICTURE:
        raise NotAPicture("animations cannot be references; give a still picture")
    if max(image.size) > LONGEST_SIDE:
        raise NotAPicture(f"{image.width}x{image.height} pixels: a side exceeds the {LONGEST_SIDE:,} that WebP allows")


class PictureWork:
    """Decoding and encoding in threads, one per core at a time: more would only take turns."""

    def __init__(self, quality: int, method: int) -> None:
        self._quality = quality
        self._method = method
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)
        self._uploads = asyncio.Semaphore(1)
        """Large uploads take seconds and hundreds of MB each: one at a time, so that others' pictures do not wait."""

    async def inspect(self, data: bytes) -> PictureFacts:
        """`inspect`, off the event loop."""
        async with self._cores:
            return await asyncio.to_thread(inspect, data)

    async def encode(self, data: bytes) -> bytes:
        """`encode_webp`, off the event loop."""
        async with self._cores:
            return await asyncio.to_thread(encode_webp, data, self._quality, self._method)

    async def thumbnail(self, data: bytes, height: int) -> bytes:
        """`thumbnail`, off the event loop."""
        async with self._cores:
            return await asyncio.to_thread(thumbnail, data, height)

    async def cleaned(self, data: bytes) -> tuple[bytes, PictureFacts]:
        """`cleaned`, off the event loop."""
        async with self._uploads, self._cores:
            return await asyncio.to_thread(cleaned, data)

    async def as_png(self, data: bytes) -> bytes:
        """`encode_png`, off the event loop."""
        async with self._cores:
            return await asyncio.to_thread(encode_png, data)
