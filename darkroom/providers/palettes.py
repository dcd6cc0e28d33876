"""Harmonious colours for the offline provider's scenes, chosen in oklch."""

import math
import random
from typing import NamedTuple

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each, sRGB."""


class _Scheme(NamedTuple):
    """Hues in degrees of oklch, and how colourful the whole is."""

    zenith: float
    horizon: float
    sun: float
    land: float
    chroma: float


_SCHEMES = (
    _Scheme(255, 62, 50, 268, 0.095),  # peach over indigo
    _Scheme(205, 95, 92, 195, 0.075),  # straw and teal
    _Scheme(330, 40, 45, 345, 0.095),  # rose and plum
    _Scheme(240, 215, 88, 245, 0.085),  # sea blues under a yellow sun
    _Scheme(140, 108, 70, 155, 0.070),  # sage and cream
    _Scheme(35, 80, 85, 25, 0.105),  # rust and ochre
    _Scheme(290, 355, 72, 292, 0.095),  # lavender and pink
    _Scheme(190, 45, 40, 205, 0.085),  # petrol and coral
    _Scheme(75, 92, 60, 120, 0.075),  # wheat and moss
    _Scheme(265, 235, 20, 255, 0.080),  # slate under a red sun
    _Scheme(15, 65, 80, 320, 0.100),  # coral and violet
    _Scheme(170, 130, 100, 180, 0.075),  # jade and lime
)


class _Light(NamedTuple):
    """Lightness of the parts at an hour of the day, 0 to 1."""

    zenith: float
    horizon: float
    sun: float
    far: float
    near: float
    water: float


_LIGHTS = (
    _Light(0.80, 0.95, 0.99, 0.83, 0.34, 0.72),  # morning
    _Light(0.50, 0.86, 0.96, 0.68, 0.19, 0.46),  # evening
    _Light(0.68, 0.92, 0.98, 0.77, 0.26, 0.62),  # haze
    _Light(0.20, 0.46, 0.95, 0.38, 0.11, 0.25),  # night
)


class Palette(NamedTuple):
    """The colours of one picture."""

    zenith: Colour
    middle: Colour
    horizon: Colour
    sun: Colour
    far: Colour
    near: Colour
    water: Colour
    accent: Colour
    night: bool


def palette(scheme: int, light: int, turn: float, rng: random.Random) -> Palette:
    """The colours of a scheme, its hues turned by `turn` degrees, at an hour; both numbers wrap around."""
    hues = _SCHEMES[scheme % len(_SCHEMES)]
    tones = _LIGHTS[light % len(_LIGHTS)]
    turn += rng.uniform(-6, 6)
    zenith = oklch(tones.zenith, hues.chroma, hues.zenith + turn)
    horizon = oklch(tones.horizon, hues.chroma * 0.85, hues.horizon + turn)
    return Palette(
        zenith=zenith,
        middle=mix(zenith, horizon, 0.45),
        horizon=horizon,
        sun=oklch(tones.sun, hues.chroma * 0.55, hues.sun + turn),
        far=oklch(tones.far, hues.chroma * 0.6, hues.land + turn),
        near=oklch(tones.near, hues.chroma * 0.6, hues.land + turn),
        water=oklch(tones.water, hues.chroma * 0.7, hues.zenith + turn),
        accent=oklch(0.66, 0.17, hues.sun + turn),
        night=tones.zenith < 0.3,
    )


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with a share of `b` in it."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """A colour by lightness (0 to 1), chroma (0 to about 0.3) and hue (degrees), clipped to sRGB.

    The matrices are Björn Ottosson's, https://bottosson.github.io/posts/oklab/.
    """
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red, green, blue = (
        round(255 * _encoded(min(1.0, max(0.0, linear))))
        for linear in (
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        )
    )
    return red, green, blue


def _encoded(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
