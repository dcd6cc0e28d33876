"""Files that are not what they seem, made small and fast."""

import io
import struct
import zipfile
import zlib
from functools import cache
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

PAYLOAD = b"<script>alert('PAYLOAD')</script><?php system('PAYLOAD') ?>"


def picture(kind: str = "PNG", size: tuple[int, int] = (16, 8), mode: str = "RGB", **options: Any) -> bytes:
    """A real picture, its left half red and the rest blue."""
    image = Image.new("RGB", size, (0, 0, 200))
    image.paste((200, 0, 0), (0, 0, size[0] // 2, size[1]))
    target = io.BytesIO()
    image.convert(mode).save(target, kind, **options)
    return target.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_with(name: bytes, content: bytes) -> bytes:
    """A real PNG with one more chunk behind its head."""
    whole = picture()
    return whole[:33] + chunk(name, content) + whole[33:]


def png_of(width: int, height: int, *, rows: int | None = None) -> bytes:
    """A black PNG of one bit a pixel, all of its rows or only some."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def zipped() -> bytes:
    """A zip that holds the payload."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as package:
        package.writestr("PAYLOAD.php", PAYLOAD)
    return target.getvalue()


def exif(**more: Any) -> Image.Exif:
    """EXIF as a camera writes it, with a place and the payload."""
    content = Image.Exif()
    content[0x0112] = more.get("orientation", 1)
    content[0x010E] = PAYLOAD.decode()
    content[0x013B] = "PAYLOAD"
    gps = content.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (52.0, 31.0, 12.0), "E", (13.0, 24.0, 18.0)
    return content


def texts() -> PngInfo:
    """Texts of a PNG with the payload."""
    found = PngInfo()
    found.add_text("Comment", PAYLOAD.decode())
    found.add_text("Author", PAYLOAD.decode(), zip=True)
    found.add_itxt("XML:com.adobe.xmp", PAYLOAD.decode())
    return found


def animated(kind: str) -> bytes:
    """Two pictures that take turns."""
    target = io.BytesIO()
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    first.save(target, kind, save_all=True, append_images=[second], duration=100)
    return target.getvalue()


def jpeg_claiming(width: int, height: int) -> bytes:
    """A real JPEG whose head claims another size."""
    whole = picture("JPEG")
    at = whole.index(b"\xff\xc0") + 5
    return whole[:at] + struct.pack(">HH", height, width) + whole[at + 4 :]


def webp_claiming(width: int, height: int) -> bytes:
    """A real lossless WebP whose head claims another size."""
    whole = picture("WEBP", lossless=True)
    at = whole.index(b"VP8L") + 9
    return whole[:at] + struct.pack("<I", (width - 1) | (height - 1) << 14) + whole[at + 4 :]


@cache
def carriers() -> dict[str, bytes]:
    """Pictures that can be shown, and carry something beside their pixels."""
    return {
        "png-then-zip": picture() + zipped(),
        "png-then-script": picture() + PAYLOAD,
        "png-texts": picture(pnginfo=texts()),
        "png-exif": picture(exif=exif()),
        "png-unknown-chunk": png_with(b"prVt", PAYLOAD),
        "png-profile": picture(icc_profile=PAYLOAD * 4),
        "jpeg-comment": picture("JPEG", comment=PAYLOAD),
        "jpeg-exif": picture("JPEG", exif=exif()),
        "jpeg-profile": picture("JPEG", icc_profile=PAYLOAD * 4),
        "jpeg-xmp": picture("JPEG", xmp=PAYLOAD),
        "jpeg-then-zip": picture("JPEG") + zipped(),
        "jpeg-two-pictures": picture("MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))]) + PAYLOAD,
        "webp-exif": picture("WEBP", exif=exif()),
        "webp-xmp": picture("WEBP", xmp=PAYLOAD),
        "webp-profile": picture("WEBP", icc_profile=PAYLOAD * 4),
        "webp-then-zip": picture("WEBP") + zipped(),
    }


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@cache
def refused() -> dict[str, bytes]:
    """What is no picture, or none of ours."""
    return {
        "empty": b"",
        "text": b"not a picture",
        "html": b"<!doctype html><script>alert(1)</script>",
        "svg": SVG,
        "svg-after-xml": b'<?xml version="1.0"?>' + SVG,
        "gif": picture("GIF"),
        "gif-then-script": picture("GIF") + PAYLOAD,
        "bmp": picture("BMP"),
        "tiff": picture("TIFF"),
        "ico": picture("ICO"),
        "avif-head": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1",
        "pdf": b"%PDF-1.7\n1 0 obj",
        "zip": zipped(),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(64),
        "png-magic-only": b"\x89PNG\r\n\x1a\n",
        "png-magic-then-html": b"\x89PNG\r\n\x1a\n<script>alert(1)</script>",
        "jpeg-magic-then-html": b"\xff\xd8\xff\xe0<script>alert(1)</script>",
        "webp-magic-then-html": b"RIFF\x24\0\0\0WEBP<script>alert(1)</script>",
        "png-cut": picture(size=(64, 64))[:-40],
        "jpeg-cut": picture("JPEG", size=(256, 256))[:-300],
        "webp-cut": picture("WEBP", size=(64, 64))[:-20],
        "png-zero-wide": png_of(0, 5),
        "png-moves": animated("PNG"),
        "webp-moves": animated("WEBP"),
    }


@cache
def bombs() -> dict[str, bytes]:
    """Small files that ask for much memory."""
    return {
        "png-50000x50000": png_of(50_000, 50_000, rows=2_000),
        "png-41-million": png_of(8_200, 5_000),
        "png-one-row-too-long": png_of(16_384, 2),
        "png-2-billion-wide": png_of(2**31 - 1, 1, rows=0),
        "jpeg-65500x65500": jpeg_claiming(65_500, 65_500),
        "webp-16383x16383": webp_claiming(16_383, 16_383),
    }


@cache
def large_texts() -> dict[str, bytes]:
    """Small pictures whose texts ask for much memory; nobody keeps the texts."""
    return {
        "png-ztxt": png_with(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)),
        "png-itxt": png_with(b"iTXt", b"Comment\0\x01\0\0\0" + zlib.compress(bytes(200_000_000), 9)),
        "png-many-ztxt": png_with(b"tEXt", b"A\0B")[:33]
        + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000), 9)) * 100
        + picture()[33:],
    }
