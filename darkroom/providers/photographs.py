"""Three small still lifes, drawn by program, that stand in for photographs a user would upload."""

import io
import math
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]

WIDTH, HEIGHT = 512, 384
FINE = 2
"""Drawn this many times larger and reduced, for smooth edges."""


def reference_photographs(count: int = 3) -> list[bytes]:
    """`count` JPEGs of 512×384 pixels: a lemon, a blue vase, a red kettle, and again from the start."""
    stills: tuple[Callable[[], Image.Image], ...] = (_lemon, _vase, _kettle)
    return [_jpeg(stills[number % len(stills)]()) for number in range(count)]


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.reduce(FINE).save(out, "JPEG", quality=92)
    return out.getvalue()


def _room(wall: tuple[Colour, Colour], table: tuple[Colour, Colour], edge: float) -> Image.Image:
    """A wall over a table whose far edge is at `edge` of the height, lit from the left."""
    width, height = WIDTH * FINE, HEIGHT * FINE
    picture = _gradient((width, height), *wall)
    split = round(height * edge)
    picture.paste(_gradient((width, height - split), *table), (0, split))
    dark = Image.linear_gradient("L").rotate(90).resize((width, height)).point([v // 4 for v in range(256)])
    picture.paste((20, 16, 24), (0, 0), dark)
    return picture


def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    column = Image.frombytes("RGB", (1, 2), bytes((*top, *bottom)))
    return column.resize((1, size[1]), Image.Resampling.BILINEAR).resize(size, Image.Resampling.NEAREST)


def _shadow(picture: Image.Image, box: tuple[float, float, float, float], strength: int = 120) -> None:
    """A soft ellipse on the table; coordinates in pixels of the finished photograph."""
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).ellipse([v * FINE for v in box], fill=strength)
    picture.paste((22, 14, 20), (0, 0), mask.filter(ImageFilter.GaussianBlur(9 * FINE)))


def _body(picture: Image.Image, outline: list[Point], colour: Colour, light: Point) -> None:
    """A rounded, shaded thing: bright around `light`, dark away from it, with a small gloss."""
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon([(x * FINE, y * FINE) for x, y in outline], fill=255)
    across = max(x for x, _ in outline) - min(x for x, _ in outline)
    down = max(y for _, y in outline) - min(y for _, y in outline)
    reach = max(across, down) * 1.5 * FINE
    shade = Image.radial_gradient("L").resize((round(2 * reach), round(2 * reach)))
    field = Image.new("L", picture.size, 255)
    field.paste(shade, (round(light[0] * FINE - reach), round(light[1] * FINE - reach)))
    tones = [_tone(colour, value / 255) for value in range(256)]
    shaded = Image.merge("RGB", [field.point([tone[channel] for tone in tones]) for channel in range(3)])
    picture.paste(shaded, (0, 0), mask)
    gloss = Image.new("L", picture.size)
    size = min(across, down) * 0.07
    x, y = light
    ImageDraw.Draw(gloss).ellipse([v * FINE for v in (x - size, y - size * 1.5, x + size, y + size * 1.5)], fill=190)
    picture.paste((255, 252, 244), (0, 0), gloss.filter(ImageFilter.GaussianBlur(4 * FINE)))


def _tone(colour: Colour, away: float) -> Colour:
    """The colour from its lit side (0) to its shaded one (1)."""
    light = 1.22 - 1.5 * away
    red, green, blue = (max(0, min(255, round(v * light + 18 * away))) for v in colour)
    return red, green, blue


def _turned(profile: list[Point], centre: float) -> list[Point]:
    """The outline of a thing turned on a wheel: half widths at heights, mirrored at `centre`."""
    points = [profile[0], *profile, profile[-1]]
    smooth: list[Point] = []
    for p0, p1, p2, p3 in zip(points, points[1:], points[2:], points[3:], strict=False):
        smooth += [_spline(p0, p1, p2, p3, step / 12) for step in range(12)]
    smooth.append(profile[-1])
    return [(centre - w, y) for w, y in smooth] + [(centre + w, y) for w, y in reversed(smooth)]


def _spline(p0: Point, p1: Point, p2: Point, p3: Point, t: float) -> Point:
    """A Catmull-Rom curve's point between `p1` (t = 0) and `p2` (t = 1)."""
    x, y = (
        b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
        for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
    )
    return x, y


def _lemon() -> Image.Image:
    picture = _room(((92, 116, 112), (128, 150, 140)), ((214, 196, 170), (168, 140, 112)), 0.58)
    _shadow(picture, (170, 262, 400, 322))
    outline = []
    for step in range(120):
        angle = math.tau * step / 120
        reach = 1 + 0.24 * abs(math.cos(angle)) ** 14
        outline.append((250 + 104 * reach * math.cos(angle), 222 + 76 * math.sin(angle)))
    _body(picture, outline, (242, 205, 48), (214, 186))
    upper = [(366 + 62 * t, 196 - 30 * t - 26 * math.sin(math.pi * t)) for t in (step / 20 for step in range(21))]
    lower = [(366 + 62 * t, 196 - 30 * t + 12 * math.sin(math.pi * t)) for t in (step / 20 for step in range(21))]
    _body(picture, [*upper, *lower[::-1]], (82, 132, 62), (384, 176))
    return picture


def _vase() -> Image.Image:
    picture = _room(((226, 208, 186), (238, 224, 206)), ((134, 92, 66), (96, 62, 46)), 0.72)
    _shadow(picture, (190, 312, 380, 356))
    pen = ImageDraw.Draw(picture)
    for lean, top in ((-52, 44), (4, 22), (60, 56)):
        pen.line([(256 * FINE, 150 * FINE), ((256 + lean) * FINE, top * FINE)], (88, 108, 70), 3 * FINE)
        for bud in range(5):
            x, y = 256 + lean * (1 - bud * 0.11), top + bud * 13
            pen.ellipse([v * FINE for v in (x - 9, y - 9, x + 9, y + 9)], (236 - bud * 10, 232 - bud * 14, 224))
    profile: list[Point] = [(32, 128), (22, 152), (34, 184), (76, 244), (62, 298), (40, 334)]
    _body(picture, _turned(profile, 256), (42, 86, 178), (226, 222))
    pen.ellipse([v * FINE for v in (226, 121, 286, 136)], (18, 34, 78))
    return picture


def _kettle() -> Image.Image:
    picture = _room(((58, 62, 72), (84, 88, 98)), ((196, 198, 196), (142, 144, 146)), 0.66)
    _shadow(picture, (140, 288, 400, 344))
    pen = ImageDraw.Draw(picture)
    pen.arc([v * FINE for v in (182, 62, 330, 272)], 182, 358, (34, 32, 34), 13 * FINE)
    spout: list[Point] = [(322, 262), (404, 158), (424, 160), (412, 182), (350, 300)]
    _body(picture, spout, (196, 38, 34), (366, 214))
    profile: list[Point] = [(50, 150), (82, 176), (108, 246), (112, 292), (100, 318)]
    _body(picture, _turned(profile, 256), (206, 40, 34), (214, 206))
    _body(picture, _turned([(8, 136), (50, 148), (56, 158)], 256), (176, 30, 28), (238, 142))
    pen.ellipse([v * FINE for v in (245, 118, 267, 140)], (30, 28, 30))
    return picture
