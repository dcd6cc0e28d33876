"""What a file claims is read without a decoder, and is what the decoder finds."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darkroom.decoding.claims import claimed_pixels
from tests.support.hostile_pictures import bombs, carriers, exif, picture, refused


def written(kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    Image.new("RGBA" if options.pop("alpha", False) else "RGB", (321, 123)).save(target, kind, **options)
    return target.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        written("PNG"),
        written("JPEG"),
        written("JPEG", progressive=True, exif=exif(orientation=6), icc_profile=bytes(60_000), comment=b"a"),
        written("WEBP"),
        written("WEBP", lossless=True),
        written("WEBP", alpha=True, exif=exif(orientation=6)),
    ],
)
def test_a_picture_has_what_it_claims(data: bytes) -> None:
    assert claimed_pixels(data[: 128 * 1024]) == 321 * 123


def test_whatever_carries_more_claims_its_pixels() -> None:
    assert {name: claimed_pixels(data) for name, data in carriers().items()} == dict.fromkeys(carriers(), 128)
    for name, data in bombs().items():
        assert (claimed_pixels(data) or 0) > 16_000, name


@given(
    st.binary(max_size=60), st.sampled_from([picture("PNG"), picture("JPEG"), picture("WEBP"), b""]), st.integers(0, 60)
)
def test_no_bytes_are_too_odd(more: bytes, start: bytes, at: int) -> None:
    found = claimed_pixels(start[:at] + more)
    assert found is None or found >= 0


def test_what_is_none_claims_nothing_or_is_refused_later() -> None:
    for name, data in refused().items():
        assert claimed_pixels(data) is None or name.startswith(("png", "jpeg", "webp", "jpg", "cut", "gif")), name
