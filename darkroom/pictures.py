"""Bytes that are pictures, and pictures that are WebP; all of it runs in threads."""

import asyncio
import io
import os
from hashlib import sha256

from PIL import Image

from darkroom.domain.model import Value

LARGEST_PICTURE = 120_000_000
"""Pixels. More than any provider draws; a file that claims more is an attack or a mistake."""

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
        return PictureFacts(media_type=_MEDIA_TYPES[image.format or ""], width=image.width, height=image.height)


def encode_webp(data: bytes, quality: int, method: int) -> bytes:
    """The picture as WebP.

    Raises:
        NotAPicture: why it cannot be used.
    """
    with _open(data) as image:
        target = io.BytesIO()
        has_alpha = "A" in image.getbands() or "transparency" in image.info
        try:
            image.convert("RGBA" if has_alpha else "RGB").save(target, "WEBP", quality=quality, method=method)
        except (OSError, ValueError) as error:
            raise NotAPicture(f"{image.width}x{image.height} pixels cannot be written as WebP ({error})") from error
        return target.getvalue()


def encode_png(data: bytes) -> bytes:
    """The picture as PNG.

    Raises:
        NotAPicture: why it cannot be used.
    """
    with _open(data) as image:
        target = io.BytesIO()
        image.convert("RGBA" if "A" in image.getbands() else "RGB").save(target, "PNG")
        return target.getvalue()


def digest(data: bytes) -> str:
    """The SHA-256 of the bytes, in hex."""
    return sha256(data).hexdigest()


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=list(_MEDIA_TYPES))
        _check_size(image)
        image.load()
    except (NotAPicture, MemoryError):
        raise
    except Exception as error:
        # Pillow's decoders raise nearly anything for broken files: struct.error, IndexError, SyntaxError.
        raise NotAPicture(f"{len(data)} bytes are not a PNG, JPEG or WebP picture ({error})") from error
    return image


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > LARGEST_PICTURE:
        raise NotAPicture(f"{image.width}x{image.height} pixels are above the maximum of {LARGEST_PICTURE:,}")
    if max(image.size) > LONGEST_SIDE:
        raise NotAPicture(f"{image.width}x{image.height} pixels: a side is above the {LONGEST_SIDE:,} of WebP")


class PictureWork:
    """Decoding and encoding in threads, one per core at a time: more would only take turns."""

    def __init__(self, quality: int, method: int) -> None:
        self._quality = quality
        self._method = method
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)

    async def inspect(self, data: bytes) -> PictureFacts:
        """`inspect`, off the event loop."""
        async with self._cores:
            return await asyncio.to_thread(inspect, data)

    async def encode(self, data: bytes) -> bytes:
        """`encode_webp`, off the event loop."""
        async with self._cores:
            return await asyncio.to_thread(encode_webp, data, self._quality, self._method)

    async def as_png(self, data: bytes) -> bytes:
        """`encode_png`, off the event loop."""
        async with self._cores:
            return await asyncio.to_thread(encode_png, data)
