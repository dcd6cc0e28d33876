"""Pictures as screens show them: 8 bits a channel, upright, in sRGB."""

import contextlib
import io

from PIL import Image, ImageChops, ImageCms, ImageOps

ENCODING_OF_SRGB = 0.45455
"""The `gAMA` of a PNG whose pixels are sRGB already."""

_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The mode that pixels need for a profile of this colour space."""

_FITTING = {"RGB": ("RGB", "RGBA", "P", "PA"), "L": ("1", "L", "LA"), "CMYK": ("CMYK",)}
"""The modes that such a profile can be about."""


def as_shown(image: Image.Image) -> Image.Image:
    """A copy without any metadata: RGB, or RGBA where it has an alpha channel.

    The picture itself is turned in place, since another copy of a large one takes hundreds of MB.
    """
    with contextlib.suppress(Exception):  # EXIF that cannot be read does not say which way is up
        ImageOps.exif_transpose(image, in_place=True)
    profile, gamma = image.info.get("icc_profile"), _gamma(image)
    image = _in_8_bits(image)
    alpha = _alpha(image)
    shown = (_by_profile(image, profile) if profile else None) or _by_gamma(image.convert("RGB"), gamma)
    if alpha is not None:
        shown.putalpha(alpha)
    # A converted picture is one of no file; all it may still carry is here.
    shown.info = {}
    return shown


def shown_size(image: Image.Image) -> tuple[int, int]:
    """Width and height once it is upright; no pixel is touched."""
    turned = False
    with contextlib.suppress(Exception):
        turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else image.size


def _in_8_bits(image: Image.Image) -> Image.Image:
    """16 bits of grey scaled to 8: Pillow's own conversion clips them, which makes nearly everything white."""
    if not image.mode.startswith("I"):
        return image
    deep = image if image.mode in ("I", "I;16") else image.convert("I")
    grey = deep.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        wide = deep.convert("I")
        over = wide.point(lambda value: value * 1 + -transparent).convert("L")
        under = wide.point(lambda value: value * -1 + transparent).convert("L")
        grey.putalpha(ImageChops.lighter(over, under).point([0, *[255] * 255]))
    return grey


def _alpha(image: Image.Image) -> Image.Image | None:
    if "A" in image.getbands():
        return image.getchannel("A")
    transparent = image.info.get("transparency")
    if transparent is None:
        return None
    if image.mode == "RGB" and isinstance(transparent, tuple) and max(transparent) > 255:
        image = image.copy()  # of 16 bits a channel, of which the decoder kept the upper 8
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    return image.convert("RGBA").getchannel("A")


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The colours that the profile gives the pixels; None where it is broken or of another kind of pixels."""
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        mode = _MODES.get(source.profile.xcolor_space)
        if mode is None or image.mode not in _FITTING[mode]:
            return None
        pixels = image.convert(mode)
        if mode != "RGB":
            return ImageCms.profileToProfile(pixels, source, target, outputMode="RGB")
        ImageCms.profileToProfile(pixels, source, target, inPlace=True)
        return pixels
    return None


def _gamma(image: Image.Image) -> float | None:
    """The exponent that a PNG names, where it is another than that of sRGB."""
    gamma = image.info.get("gamma")
    if "srgb" in image.info or not isinstance(gamma, float) or not 0.1 <= gamma <= 10:
        return None
    return None if abs(gamma - ENCODING_OF_SRGB) < 0.02 else gamma


def _by_gamma(image: Image.Image, gamma: float | None) -> Image.Image:
    if gamma is None:
        return image
    table = [round(255 * _encoded((value / 255) ** (1 / gamma))) for value in range(256)]
    return image.point(table * 3)


def _encoded(light: float) -> float:
    """The sRGB value of an amount of light, both from 0 to 1 (IEC 61966-2-1)."""
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
