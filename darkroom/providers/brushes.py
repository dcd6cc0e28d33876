"""What the offline provider's scenes are painted with: skies, ridges, trees and smooth stencils."""

import math
import random
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter

from darkroom.providers.palettes import Colour, Palette, mix

Size = tuple[int, int]
Point = tuple[float, float]


class Sun(NamedTuple):
    """Sun or moon: its centre and radius in pixels."""

    x: float
    y: float
    radius: float


class Stencil:
    """A mask of a band of the picture, drawn twice as large and reduced, which makes its edges smooth.

    Coordinates are the picture's, in pixels.
    """

    def __init__(self, size: Size, upper: float, lower: float) -> None:
        self.upper = min(size[1] - 1, max(0, math.floor(upper)))
        self.lower = max(self.upper + 1, min(size[1], math.ceil(lower)))
        self.width = size[0]
        self.mask = Image.new("L", (2 * size[0], 2 * (self.lower - self.upper)))
        self.pen = ImageDraw.Draw(self.mask)

    def fill(self, outline: list[Point], level: int = 255) -> None:
        self.pen.polygon([(2 * x, 2 * (y - self.upper)) for x, y in outline], fill=level)

    def line(self, points: list[Point], width: float) -> None:
        self.pen.line([(2 * x, 2 * (y - self.upper)) for x, y in points], 255, max(1, round(2 * width)))

    def ellipse(self, x: float, y: float, across: float, down: float) -> None:
        y -= self.upper
        self.pen.ellipse((2 * (x - across), 2 * (y - down), 2 * (x + across), 2 * (y + down)), fill=255)

    def paint(self, picture: Image.Image, *stops: Colour) -> None:
        """Fill what is cut out with a gradient through the stops, over the height of the band."""
        filled = wash((self.width, self.lower - self.upper), *stops)
        picture.paste(filled, (0, self.upper), self.mask.reduce(2))


def wash(size: Size, *stops: Colour) -> Image.Image:
    """A vertical gradient through the stops, top to bottom."""
    column = Image.frombytes("RGB", (1, len(stops)), bytes(value for stop in stops for value in stop))
    # A filter would keep the ends flat for half a stop: begin and end in the middle of the outer ones.
    box = (0, 0.5, 1, len(stops) - 0.5) if len(stops) > 1 else None
    return column.resize((1, size[1]), Image.Resampling.BILINEAR, box).resize(size, Image.Resampling.NEAREST)


@lru_cache(maxsize=1)
def _disc() -> Image.Image:
    mask = Image.new("L", (1024, 1024))
    ImageDraw.Draw(mask).ellipse((4, 4, 1019, 1019), fill=255)
    return mask.reduce(2)


@lru_cache(maxsize=1)
def _halo() -> Image.Image:
    """Strong in the middle and gone at the rim; the fourth power looks like light in haze."""
    return Image.radial_gradient("L").point([round(255 * max(0.0, 1 - v / 180) ** 4) for v in range(256)])


def unit_of(size: Size) -> float:
    """The length that shapes are measured in: the side of the square of the same area, in pixels.

    Kept below 1.4 times the shorter side, so that shapes fit into very long pictures too.
    """
    return min(math.sqrt(size[0] * size[1]), 1.4 * min(size))


def place_sun(size: Size, rng: random.Random, horizon: float) -> Sun:
    """Somewhere above the horizon, mostly off the middle, small or large."""
    radius = unit_of(size) * rng.choice((0.035, 0.05, 0.075, 0.13))
    return Sun(size[0] * rng.choice((0.22, 0.36, 0.5, 0.64, 0.78)), horizon * rng.uniform(0.3, 0.72), radius)


def sky(size: Size, colours: Palette, rng: random.Random, horizon: float, sun: Sun) -> Image.Image:
    """Gradient, halo and streaks of cloud down to the horizon; below it the horizon's colour."""
    picture = Image.new("RGB", size, colours.horizon)
    height = max(1, min(size[1], round(horizon)))
    # Everything here is soft: a quarter of the size is enough, and sixteen times as quick.
    small = (max(1, size[0] // 4), max(1, height // 4))
    air = wash(small, colours.zenith, colours.middle, colours.horizon)
    reach = max(2, round(unit_of(size) * 0.16))
    air.paste(colours.sun, (round(sun.x / 4) - reach, round(sun.y / 4) - reach), _sized(_halo(), 2 * reach))
    clouds = Image.new("L", small)
    pen = ImageDraw.Draw(clouds)
    for _ in range(rng.randrange(2, 9)):
        x, y = rng.uniform(0, small[0]), rng.uniform(0.1, 0.95) * small[1]
        across, down = reach * rng.uniform(0.4, 1.6), max(1.0, reach * rng.uniform(0.012, 0.05))
        pen.ellipse((x - across, y - down, x + across, y + down), fill=rng.randrange(50, 130))
    air.paste(mix(colours.horizon, colours.sun, 0.5), (0, 0), clouds.filter(ImageFilter.BoxBlur(reach * 0.03)))
    picture.paste(air.resize((size[0], height), Image.Resampling.BILINEAR), (0, 0))
    if colours.night:
        _stars(picture, colours, rng, height)
    side = max(2, round(2 * sun.radius))
    corner = (round(sun.x - sun.radius), round(sun.y - sun.radius))
    picture.paste(colours.sun, corner, _sized(_disc(), side))
    return picture


def _sized(mask: Image.Image, side: int) -> Image.Image:
    return mask.resize((side, side), Image.Resampling.BILINEAR)


def _stars(picture: Image.Image, colours: Palette, rng: random.Random, height: int) -> None:
    pen = ImageDraw.Draw(picture)
    for _ in range(picture.width * height // 5000):
        x, y = rng.randrange(picture.width), int(height * rng.random() ** 1.6)
        tone = mix(colours.zenith, colours.sun, rng.uniform(0.25, 0.9))
        pen.rectangle((x, y, x + (rng.random() < 0.2), y + (rng.random() < 0.2)), fill=tone)


def _steps(width: int) -> int:
    """How many pieces a line across the picture has: about one every eight pixels."""
    return min(256, max(16, width // 8))


def rolling(size: Size, rng: random.Random, base: float, swing: float, pace: float = 1.0) -> list[Point]:
    """A smooth ridge around the height `base`, `swing` pixels up and down, `pace` waves a unit."""
    steps = _steps(size[0])
    span = math.tau * pace * size[0] / unit_of(size)
    waves = [(swing / 2.1**n, span * 1.9**n * rng.uniform(0.7, 1.2), rng.uniform(0, 6.3)) for n in range(3)]
    return [
        (size[0] * i / steps, base + sum(a * math.sin(f * i / steps + p) for a, f, p in waves))
        for i in range(steps + 1)
    ]


def jagged(size: Size, rng: random.Random, base: float, swing: float) -> list[Point]:
    """A mountain ridge by midpoint displacement: each half is broken again, and less."""
    heights = [rng.uniform(-1, 1) for _ in range(2 + round(2.2 * size[0] / unit_of(size)))]
    reach = 0.5
    while len(heights) * 2 <= _steps(size[0]):
        middles = [(a + b) / 2 + rng.uniform(-reach, reach) for a, b in pairwise(heights)]
        heights = [h for pair in zip(heights, middles, strict=False) for h in pair] + heights[-1:]
        reach *= 0.52
    return [(size[0] * i / (len(heights) - 1), base - swing * h) for i, h in enumerate(heights)]


def land(size: Size, ridge: list[Point], lower: float, headroom: float = 0) -> Stencil:
    """A stencil of everything from the ridge down to `lower`, with room above it for trees."""
    stencil = Stencil(size, min(y for _, y in ridge) - headroom, lower)
    stencil.fill([*ridge, (size[0], lower + 1), (0, lower + 1)])
    return stencil


def _pine(stencil: Stencil, x: float, foot: float, height: float, rng: random.Random) -> None:
    left: list[Point] = []
    right: list[Point] = []
    for tier in range(1, 6):
        y = foot - height * (1 - tier / 5.4)
        out = height * 0.045 * tier * rng.uniform(0.85, 1.15)
        left += [(x - out, y), (x - out * 0.5, y - height * 0.02)]
        right += [(x + out, y), (x + out * 0.5, y - height * 0.02)]
    trunk = height * 0.02
    base = [(x + trunk, foot + height * 0.1), (x - trunk, foot + height * 0.1)]
    stencil.fill([(x, foot - height), *right, *base, *left[::-1]])


def wood(stencil: Stencil, ridge: list[Point], rng: random.Random, height: float, count: int) -> None:
    """Pines of about `height` in loose groups along the ridge."""
    if height < 4:
        return  # nobody could tell them apart, and drawing them takes as long as large ones
    centre = rng.random()
    for _ in range(count):
        spot = (centre + rng.gauss(0, 0.16)) % 1
        x, y = ridge[int(spot * (len(ridge) - 1))]
        _pine(stencil, x, y, height * rng.uniform(0.45, 1.15), rng)


def birds(picture: Image.Image, colours: Palette, rng: random.Random) -> None:
    """A small flock, high up."""
    size = picture.size
    unit, y0 = unit_of(size), size[1] * rng.uniform(0.14, 0.3)
    flock = Stencil(size, y0 - unit * 0.06, y0 + unit * 0.1)
    x0 = size[0] * rng.uniform(0.2, 0.7)
    for _ in range(rng.randrange(3, 8)):
        x, y, wing = x0 + rng.uniform(0, 0.3) * unit, y0 + rng.uniform(0, 0.07) * unit, unit * rng.uniform(0.006, 0.013)
        flock.line([(x - wing, y - wing * 0.5), (x - wing * 0.4, y - wing * 0.55), (x, y)], unit * 0.0017)
        flock.line([(x, y), (x + wing * 0.5, y - wing * 0.6), (x + wing, y - wing * 0.35)], unit * 0.0017)
    flock.paint(picture, mix(colours.near, colours.middle, 0.25))


def reeds(picture: Image.Image, colours: Palette, rng: random.Random) -> None:
    """Bulrushes at the lower edge, to one side."""
    width, height = picture.size
    unit = unit_of(picture.size)
    x0 = width * rng.choice((0.08, 0.2, 0.8, 0.92))
    stencil = Stencil(picture.size, height - unit * 0.34, height)
    for _ in range(26):
        x, tall, lean = x0 + rng.gauss(0, unit * 0.06), unit * rng.uniform(0.1, 0.3), rng.uniform(-0.16, 0.2)
        tip = (x + lean * tall, height - tall)
        stencil.line([(x, height), (x + lean * tall * 0.3, height - tall * 0.6), tip], unit * 0.0022)
        if rng.random() < 0.4:
            stencil.ellipse(tip[0], tip[1], unit * 0.004, unit * 0.018)
    stencil.paint(picture, colours.near)


def mirror(picture: Image.Image, colours: Palette, rng: random.Random, shore: int) -> None:
    """Turn everything below `shore` into rippled water that mirrors what is above it."""
    width, depth = picture.width, picture.height - shore
    water = wash((width, depth), colours.horizon, colours.water, colours.water)
    above = picture.crop((0, shore - depth, width, shore)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    above = Image.blend(above, water, 0.42)
    picture.paste(above, (0, shore))
    y, phase = 0, rng.uniform(0, 6)
    while y < depth:
        near = y / depth
        strip = 1 + int(depth * 0.02 * (0.3 + near))
        shift = round(unit_of(picture.size) * 0.006 * near * math.sin(phase + 46 * near**0.6))
        picture.paste(above.crop((0, y, width, min(depth, y + strip))), (shift, shore + y))
        y += strip
    glitter(picture, rng, (0, shore, width, picture.height), mix(colours.water, colours.horizon, 0.45), 70)


def glitter(
    picture: Image.Image, rng: random.Random, box: tuple[float, float, float, float], tone: Colour, count: int
) -> None:
    """Short level strokes, thicker and longer the nearer they are; `box` is left, top, right, bottom."""
    left, top, right, bottom = box
    pen, unit = ImageDraw.Draw(picture), unit_of(picture.size)
    for _ in range(count):
        near = rng.random() ** 1.4
        x, y = rng.uniform(left, right), top + near * (bottom - top)
        half = unit * (0.006 + 0.035 * near) * rng.uniform(0.4, 1.2)
        pen.line((x - half, y, x + half, y), tone, max(1, round(unit * 0.0035 * near)))
