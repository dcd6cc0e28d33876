"""PNGs are read whatever their ancillary chunks hold, in bounded memory."""

import io
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from darkroom.decoding.codecs import NotAPicture, cleaned, encode_webp, inspect
from tests.support.hostile_pictures import chunk, picture

WHOLE = picture()
LARGE = zlib.compress(bytes(50_000_000), 9)


def broken(name: bytes, content: bytes) -> bytes:
    """A chunk whose checksum is wrong."""
    whole = chunk(name, content)
    return whole[:-1] + bytes([whole[-1] ^ 1])


def behind_the_head(raw: bytes) -> bytes:
    return WHOLE[:33] + raw + WHOLE[33:]


def before_the_end(raw: bytes) -> bytes:
    return WHOLE[:-12] + raw + WHOLE[-12:]


CHUNKS = {
    "ztxt-large": chunk(b"zTXt", b"workflow\0\0" + LARGE),
    "ztxt-many-large": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(1_000_000))) * 80,
    "ztxt-not-packed": chunk(b"zTXt", b"Comment\0\0not packed at all"),
    "ztxt-cut": chunk(b"zTXt", b"Comment\0\0" + LARGE[:-9]),
    "ztxt-of-another-method": chunk(b"zTXt", b"Comment\0\x07" + LARGE),
    "ztxt-checksum": broken(b"zTXt", b"Comment\0\0" + zlib.compress(b"text")),
    "ztxt-empty": chunk(b"zTXt", b""),
    "text-large": chunk(b"tEXt", b"prompt\0" + b"x" * 3_000_000),
    "text-no-keyword": chunk(b"tEXt", b"\xff\xfe"),
    "text-checksum": broken(b"tEXt", b"Comment\0text"),
    "itxt-large": chunk(b"iTXt", b"Comment\0\1\0\0\0" + LARGE),
    "itxt-cut": chunk(b"iTXt", b"Comment\0\1"),
    "itxt-xmp-large": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
    "itxt-xmp-broken": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0not packed"),
    "ztxt-exif-broken": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n   9\nzz")),
    "profile-large": chunk(b"iCCP", b"ICC\0\0" + LARGE),
    "profile-not-packed": chunk(b"iCCP", b"ICC\0\0not packed at all"),
    "profile-no-profile": chunk(b"iCCP", b"ICC\0\0" + zlib.compress(b"not a profile")),
    "profile-checksum": broken(b"iCCP", b"ICC\0\0" + zlib.compress(b"x")),
    "profile-empty": chunk(b"iCCP", b""),
    "exif-garbage": chunk(b"eXIf", b"garbage"),
    "exif-large": chunk(b"eXIf", b"II*\0" + bytes(3_000_000)),
    "exif-checksum": broken(b"eXIf", b"II*\0\x08\0\0\0\0\0"),
    "gamma-cut": chunk(b"gAMA", b"\0"),
    "gamma-0": chunk(b"gAMA", bytes(4)),
    "srgb-empty": chunk(b"sRGB", b""),
    "transparency-cut": chunk(b"tRNS", b"\0"),
    "physical-cut": chunk(b"pHYs", b"\0"),
    "chromaticities-cut": chunk(b"cHRM", b"\0\0"),
    "private": chunk(b"prVt", bytes(2_000_000)),
    "animation-cut": chunk(b"acTL", b"\0"),
}


@pytest.mark.parametrize("place", [behind_the_head, before_the_end])
@pytest.mark.parametrize("name", CHUNKS)
def test_an_ancillary_chunk_makes_no_picture_unreadable(name: str, place: Callable[[bytes], bytes]) -> None:
    data = place(CHUNKS[name])
    assert (inspect(data).width, inspect(data).height) == (16, 8)
    for done in (cleaned(data)[0], encode_webp(data, 90, 2)):
        with Image.open(io.BytesIO(done)) as image:
            left, right = (image.convert("RGB").getpixel((x, 4)) for x in (3, 12))
        assert left[0] > 150 > left[2]  # type: ignore[index]  # RGB pixels are tuples
        assert right[2] > 150 > right[0]  # type: ignore[index]


def test_a_text_that_claims_more_than_there_is_behind_the_pixels_ends_the_picture() -> None:
    assert inspect(WHOLE[:-12] + b"\0\1\0\0tEXtcut").width == 16


@pytest.mark.parametrize("name", CHUNKS)
def test_skipped_chunks_take_no_memory(name: str) -> None:
    data = behind_the_head(CHUNKS[name])
    tracemalloc.start()
    cleaned(data)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2 * len(data) + 20_000_000


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:-30],
        WHOLE[:20],
        WHOLE[:33],
        WHOLE[:33] + chunk(b"tEXt", b"Comment\0text"),
        WHOLE[:33] + b"\0\1\0\0tEXtcut",
        WHOLE.replace(b"IDAT", b"IDAX"),
    ],
)
def test_what_is_wrong_with_the_pixels_stays_wrong(data: bytes) -> None:
    with pytest.raises(NotAPicture):
        inspect(data)
