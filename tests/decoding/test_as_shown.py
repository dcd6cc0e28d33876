"""Pictures are delivered and kept as they look: scaled to 8 bits, upright, in sRGB."""

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, ImageCms

from darkroom.decoding.codecs import NotAPicture, cleaned, encode_png, encode_webp, inspect, thumbnail
from darkroom.decoding.colours import as_shown
from tests.support.hostile_pictures import animated, chunk, exif, picture

WAYS: dict[str, Callable[[bytes], bytes]] = {
    "webp": lambda data: encode_webp(data, 100, 2),
    "png": encode_png,
    "thumbnail": lambda data: thumbnail(data, 192, 100),
    "reference": lambda data: cleaned(data)[0],
}
"""Everything that is made of a provider's answer or of a reference."""


def png(width: int, height: int, kind: int, rows: list[bytes], *chunks: bytes) -> bytes:
    """A PNG of 16 bits a channel; kind 0 is grey, 2 RGB, 4 grey with alpha."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def grey(*levels: int, alpha: int | None = None) -> bytes:
    """One 8 by 8 square of each level, side by side."""
    row = b"".join(struct.pack(">H", v) * 8 if alpha is None else struct.pack(">HH", v, alpha) * 8 for v in levels)
    return png(8 * len(levels), 8, 0 if alpha is None else 4, [row] * 8)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def near(image: Image.Image, at: tuple[int, int], wanted: tuple[int, ...], most: int = 6) -> bool:
    found = image.convert("RGBA" if len(wanted) == 4 else "RGB").getpixel(at)
    assert isinstance(found, tuple)
    return all(abs(one - other) <= most for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("way", WAYS)
class TestSixteenBits:
    def test_grey_is_scaled_and_never_clipped(self, way: str) -> None:
        shown = opened(WAYS[way](grey(0, 300, 0x4000, 0x8000, 0xC000, 0xFFFF)))
        for place, level in enumerate((0, 1, 64, 128, 191, 255)):
            assert near(shown, (8 * place + 4, 4), (level,) * 3), (place, shown.getpixel((8 * place + 4, 4)))

    def test_grey_with_alpha_is_scaled(self, way: str) -> None:
        shown = opened(WAYS[way](grey(0x4000, 0xC000, alpha=0x8000)))
        assert near(shown, (4, 4), (64, 64, 64, 128), 8)
        assert near(shown, (12, 4), (191, 191, 191, 128), 8)

    def test_the_transparent_level_is_the_one_that_is_meant(self, way: str) -> None:
        row = struct.pack(">H", 0x1234) * 8 + struct.pack(">H", 0x1235) * 8
        shown = opened(WAYS[way](png(16, 8, 0, [row] * 8, chunk(b"tRNS", struct.pack(">H", 0x1234)))))
        alpha = shown.convert("RGBA").getchannel("A")
        assert (alpha.getpixel((3, 4)), alpha.getpixel((12, 4))) == (0, 255)

    def test_a_transparent_colour_is_the_one_that_is_meant(self, way: str) -> None:
        colours = struct.pack(">3H", 0x1234, 0x5678, 0x9ABC), struct.pack(">3H", 0xFFFF, 0, 0)
        row = colours[0] * 8 + colours[1] * 8
        shown = opened(WAYS[way](png(16, 8, 2, [row] * 8, chunk(b"tRNS", colours[0]))))
        alpha = shown.convert("RGBA").getchannel("A")
        assert (alpha.getpixel((3, 4)), alpha.getpixel((12, 4))) == (0, 255)


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "I;16L"])
def test_every_mode_of_16_bits_is_scaled(mode: str) -> None:
    assert as_shown(Image.new(mode, (1, 1), 0x8000)).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("way", WAYS)
class TestOrientation:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_turned_picture_is_turned_upright(self, way: str, kind: str, orientation: int) -> None:
        data = picture(kind, (64, 32), exif=exif(orientation=orientation))
        shown = opened(WAYS[way](data))
        is_tall = orientation >= 5
        assert shown.size == ((32, 64) if is_tall else (64, 32))
        assert (inspect(data).width, inspect(data).height) == shown.size
        # The left half is red; as stored it is on the left, or on the right where it is mirrored or turned round.
        red_first = orientation in (1, 4, 5, 6)
        first, last = ((16, 6), (16, 57)) if is_tall else ((6, 16), (57, 16))
        red, blue = (first, last) if red_first else (last, first)
        assert near(shown, red, (200, 0, 0), 25)
        assert near(shown, blue, (0, 0, 200), 25)
        assert not shown.getexif()

    def test_the_orientation_in_the_xmp_of_a_png_counts(self, way: str) -> None:
        whole = picture(size=(64, 32))
        xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
        data = whole[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) + whole[33:]
        assert opened(WAYS[way](data)).size == (32, 64)


def swapped_profile() -> bytes:
    """The sRGB profile with red and green exchanged: whether it was applied shows at once."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    return (
        profile.replace(b"rXYZ", b"????", 1)[:green] + b"rXYZ" + profile[green + 4 : red] + b"gXYZ" + profile[red + 4 :]
        if green < red
        else profile[:red] + b"gXYZ" + profile[red + 4 : green] + b"rXYZ" + profile[green + 4 :]
    )


@pytest.mark.parametrize("way", WAYS)
class TestColours:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_a_profile_is_applied_and_not_kept(self, way: str, kind: str) -> None:
        image = Image.new("RGB", (16, 16), (200, 30, 30))
        target = io.BytesIO()
        image.save(target, kind, icc_profile=swapped_profile(), quality=100)
        shown = opened(WAYS[way](target.getvalue()))
        assert near(shown, (8, 8), (30, 200, 30), 20), shown.getpixel((8, 8))
        assert "icc_profile" not in shown.info

    def test_the_profile_of_a_palette_and_of_an_alpha_channel_is_applied(self, way: str) -> None:
        for image in (
            Image.new("RGB", (16, 16), (200, 30, 30)).quantize(2),
            Image.new("RGBA", (16, 16), (200, 30, 30, 128)),
        ):
            target = io.BytesIO()
            image.save(target, "PNG", icc_profile=swapped_profile())
            assert near(opened(WAYS[way](target.getvalue())), (8, 8), (30, 200, 30), 30)

    def test_a_large_profile_is_applied(self, way: str) -> None:
        whole = picture()
        profile = swapped_profile() + bytes(2_000_000)
        profile = struct.pack(">I", len(profile)) + profile[4:]
        data = whole[:33] + chunk(b"iCCP", b"ICC\0\0" + zlib.compress(profile)) + whole[33:]
        assert near(opened(WAYS[way](data)), (3, 4), (0, 200, 0), 40)

    def test_the_gamma_of_a_png_is_applied(self, way: str) -> None:
        whole = encode_png(picture())
        linear = whole[:33] + chunk(b"gAMA", struct.pack(">I", 100_000)) + whole[33:]
        usual = whole[:33] + chunk(b"gAMA", struct.pack(">I", 45_455)) + whole[33:]
        said = whole[:33] + chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100_000)) + whole[33:]
        assert near(opened(WAYS[way](linear)), (3, 4), (229, 0, 0), 25)
        for data in (usual, said):
            assert near(opened(WAYS[way](data)), (3, 4), (200, 0, 0), 25)


HEAD = b"\0\0\0\x18ftyp"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        *(
            (HEAD + brand + b"\0\0\0\0mif1" + brand + bytes(64), "HEIC")
            for brand in (b"heic", b"heix", b"hevc", b"heim")
        ),
        (HEAD + b"mif1\0\0\0\0mif1heic" + bytes(64), "HEIC"),
        (HEAD + b"mif1\0\0\0\0mif1miaf" + bytes(64), "HEIF"),
        (HEAD + b"avif\0\0\0\0mif1miaf" + bytes(64), "AVIF"),
        (picture("GIF"), "GIF"),
        (picture("TIFF"), "TIFF"),
        (b"\xff\x0a" + bytes(64), "JPEG XL"),
    ],
)
def test_a_reference_in_a_format_that_is_not_read_is_named_with_what_to_do(data: bytes, name: str) -> None:
    with pytest.raises(NotAPicture, match=rf"{name} format.*convert it to JPEG") as caught:
        cleaned(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_no_reference(kind: str) -> None:
    with pytest.raises(NotAPicture, match="animations"):
        cleaned(animated(kind))
