"""Bytes that are pictures, and pictures that are WebP; all of it runs in child processes."""

import io
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import AvifImagePlugin, Image, PngImagePlugin, UnidentifiedImageError

from darkroom.decoding import xmp
from darkroom.decoding.colours import as_shown, shown_size
from darkroom.decoding.foreign_formats import foreign_format
from darkroom.decoding.png_chunks import plain

LARGEST_PICTURE = 120_000_000
"""Pixels. More than any provider draws; a file that claims more is an attack or a mistake."""

UPLOADED_PIXELS = 40_000_000
"""Pixels of a picture that a stranger uploads: 160 MB when it is decoded, and twice that while it is written anew."""

UPLOADED_WEBP_PIXELS = 20_000_000
"""The same of a WebP, whose decoder and encoder keep copies of their own: one of 40 million takes 800 MB."""

LONGEST_SIDE = 16_383
"""Pixels; WebP holds no more."""

# Our own limit, checked before a pixel is decoded, replaces Pillow's warning.
Image.MAX_IMAGE_PIXELS = None

# One picture a core at a time: threads of its own would take the cores of others.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "AVIF": "image/avif"}


class NotAPicture(Exception):
    """Bytes that cannot be decoded as PNG, JPEG, WebP or AVIF."""


@dataclass(frozen=True)
class PictureFacts:
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


class Encoded(NamedTuple):
    """A picture in the format that was asked for, and a thumbnail of it."""

    data: bytes
    small: bytes | None


def encode(
    data: bytes,
    kind: str,
    options: dict[str, int],
    mark: xmp.Mark | None = None,
    *,
    beside: bytes | None = None,
) -> bytes:
    """`encode_with_thumbnail`, without one."""
    return encode_with_thumbnail(data, kind, options, mark, beside=beside).data


def encode_with_thumbnail(
    data: bytes,
    kind: str,
    options: dict[str, int],
    mark: xmp.Mark | None = None,
    *,
    beside: bytes | None = None,
    height: int | None = None,
) -> Encoded:
    """The picture in another format: upright, in sRGB, with the XMP that it came with, and the mark added to it.

    Args:
        data: the picture.
        kind: the format, as Pillow calls it: `WEBP`, `JPEG`, `PNG` or `AVIF`.
        options: of the encoder.
        mark: how it was made; None adds nothing.
        beside: XMP that takes the place of the picture's own.
        height: of the thumbnail, at most; None for no thumbnail.

    Raises:
        NotAPicture: why it cannot be used.
    """
    with _open(data) as image:
        packet, shown = image.info.get("xmp"), _as_shown(image)
    del image
    small = None if height is None else _small(shown, height)
    longest = xmp.LARGEST_IN_JPEG if kind == "JPEG" else xmp.LARGEST
    there = beside or (packet if isinstance(packet, bytes) else None)
    about = xmp.kept(there, longest) if mark is None else xmp.marked(mark, there, longest)
    target = io.BytesIO()
    try:
        _without_alpha(shown, kind).save(target, kind, **options, **_about(kind, about))
    except (OSError, ValueError) as error:
        raise NotAPicture(f"{shown.width}x{shown.height} pixels cannot be written as {kind} ({error})") from error
    return Encoded(target.getvalue(), small)


def encode_webp(data: bytes, quality: int, method: int, mark: xmp.Mark | None = None) -> bytes:
    """`encode`, as WebP."""
    return encode(data, "WEBP", {"quality": quality, "method": method}, mark)


def encode_png(data: bytes, beside: bytes | None = None) -> bytes:
    """`encode`, as PNG; with the XMP from beside the picture, if that is where it is."""
    return encode(data, "PNG", {}, beside=beside)


def original(data: bytes, mark: xmp.Mark | None, height: int) -> tuple[PictureFacts, bytes | None, bytes]:
    """What a picture is that is delivered as it came; the XMP to put beside it, with what its own says; a thumbnail.

    Raises:
        NotAPicture: why it cannot be used.
    """
    with _open(data) as image:
        packet = image.info.get("xmp")
        shown_width, shown_height = shown_size(image)
        facts = PictureFacts(media_type=_MEDIA_TYPES[_kind(image)], width=shown_width, height=shown_height)
        small = _small(_as_shown(image), height)
    there = packet if isinstance(packet, bytes) else None
    return facts, None if mark is None else xmp.marked(mark, there), small


def _about(kind: str, packet: bytes | None) -> dict[str, Any]:
    if packet is None:
        return {}
    if kind != "PNG":
        return {"xmp": packet}
    # Pillow ignores `xmp` here. Not compressed: whoever looks for the mark need not decode anything.
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", packet.decode("utf-8"))
    return {"pnginfo": chunks}


def _without_alpha(image: Image.Image, kind: str) -> Image.Image:
    """What a JPEG can hold: a transparent picture on white."""
    if kind != "JPEG" or image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def thumbnail(data: bytes, height: int, quality: int = 80) -> bytes:
    """A small WebP of the picture, at most so many pixels high and 8 times as wide.

    Raises:
        NotAPicture: why it cannot be used.
    """
    return _small(_shown(data), height, quality)


def _small(image: Image.Image, height: int, quality: int = 80) -> bytes:
    share = min(1.0, height / image.height, 8 * height / image.width)
    size = max(1, round(image.width * share)), max(1, round(image.height * share))
    small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=1.0)
    target = io.BytesIO()
    small.save(target, "WEBP", quality=quality, method=2)
    return target.getvalue()


def cleaned(data: bytes, most: int = UPLOADED_PIXELS) -> tuple[bytes, PictureFacts]:
    """The picture written anew in its own format: upright, in sRGB, and nothing but pixels.

    Whatever else a file carries (places, names, a second file behind the first) does not come along.

    Args:
        data: the file.
        most: pixels that it may have.

    Raises:
        NotAPicture: why it cannot be used.
    """
    foreign = foreign_format(data)
    if foreign:
        raise NotAPicture(
            f"this is a picture in {foreign} format, which cannot be a reference; convert it to JPEG or PNG"
        )
    with _open(data, most) as image:
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
    if image.format == "WEBP" and most < LARGEST_PICTURE and image.width * image.height > UPLOADED_WEBP_PIXELS:
        raise NotAPicture(
            f"{image.width}x{image.height} pixels exceed the maximum of {UPLOADED_WEBP_PIXELS:,} for WebP; "
            "convert it to JPEG or PNG"
        )
    if getattr(image, "n_frames", 1) > 1 and image.format in _MEDIA_TYPES and most < LARGEST_PICTURE:
        raise NotAPicture("animations cannot be references; give a still picture")
    if max(image.size) > LONGEST_SIDE:
        raise NotAPicture(f"{image.width}x{image.height} pixels: a side exceeds the {LONGEST_SIDE:,} that WebP allows")
