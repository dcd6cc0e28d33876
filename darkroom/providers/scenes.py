"""The offline provider's landscapes: eight calm scenes, each different every time its dice fall."""

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from darkroom.providers.brushes import (
    Point,
    Size,
    Stencil,
    Sun,
    birds,
    glitter,
    jagged,
    land,
    mirror,
    place_sun,
    reeds,
    rolling,
    sky,
    unit_of,
    wash,
    wood,
)
from darkroom.providers.palettes import Colour, Palette, mix

Scene = Callable[[Size, Palette, random.Random], Image.Image]


def _hills(size: Size, colours: Palette, rng: random.Random) -> Image.Image:
    """Misty ridges one behind the other, with woods on the near ones."""
    height, unit = size[1], unit_of(size)
    horizon = height * rng.uniform(0.38, 0.56)
    picture = sky(size, colours, rng, horizon + unit * 0.1, place_sun(size, rng, horizon))
    if not colours.night:
        birds(picture, colours, rng)
    layers = rng.randrange(4, 7)
    for layer in range(layers):
        depth = layer / (layers - 1)
        base = horizon + (height * 0.93 - horizon) * depth**1.2
        pace = rng.uniform(0.5, 1.1) * (1.5 - 0.7 * depth)
        ridge = rolling(size, rng, base, unit * (0.03 + 0.03 * depth), pace)
        stencil = land(size, ridge, height if layer > layers - 3 else base + height * 0.3, unit * 0.13)
        if layer >= layers - 2:
            wood(stencil, ridge, rng, unit * (0.07 + 0.05 * depth), rng.randrange(3, 16))
        tone = mix(colours.far, colours.near, depth)
        stencil.paint(picture, tone, mix(tone, colours.horizon, 0.5 - 0.35 * depth))
    return picture


def _lake(size: Size, colours: Palette, rng: random.Random) -> Image.Image:
    """Mountains mirrored in still water."""
    height, unit = size[1], unit_of(size)
    shore = round(height * rng.uniform(0.56, 0.68))
    picture = sky(size, colours, rng, shore, place_sun(size, rng, shore * 0.75))
    for layer in range(3):
        depth = layer / 2
        ridge = jagged(size, rng, shore - unit * (0.19 - 0.14 * depth), unit * (0.11 - 0.07 * depth))
        stencil = land(size, ridge, shore, unit * 0.06)
        if layer == 2:
            wood(stencil, ridge, rng, unit * 0.05, 50)
        tone = mix(colours.far, colours.near, 0.1 + 0.75 * depth)
        stencil.paint(picture, tone, mix(tone, colours.horizon, 0.45 - 0.25 * depth))
    mirror(picture, colours, rng, shore)
    reeds(picture, colours, rng)
    return picture


def _sea(size: Size, colours: Palette, rng: random.Random) -> Image.Image:
    """Open water with a path of light, islands and a sail."""
    width, height = size
    unit = unit_of(size)
    line = round(height * rng.uniform(0.48, 0.64))
    low = place_sun(size, rng, line)
    sun = Sun(low.x, line - low.radius * rng.uniform(-0.3, 2.2), low.radius * 1.5)
    picture = sky(size, colours, rng, line, sun)
    picture.paste(wash((width, height - line), mix(colours.water, colours.horizon, 0.5), colours.water), (0, line))
    glitter(picture, rng, (0, line, width, height), mix(colours.water, colours.horizon, 0.3), 130)
    for share in (1.0, 1.9):
        reach = sun.radius * share
        glitter(picture, rng, (sun.x - reach, line + 1, sun.x + reach, height), colours.sun, 70)
    for depth in (0.25, 0.7):
        isle = rolling(size, rng, line + unit * (0.035 - 0.02 * depth), unit * (0.05 + 0.05 * depth), 0.45)
        land(size, isle, line + 1).paint(picture, mix(colours.far, colours.near, depth))
    _sail(picture, colours, rng, line)
    return picture


def _sail(picture: Image.Image, colours: Palette, rng: random.Random, line: int) -> None:
    unit = unit_of(picture.size)
    x = picture.width * rng.choice((0.2, 0.33, 0.7, 0.82))
    y = line + (picture.height - line) * rng.uniform(0.12, 0.4)
    tall = unit * rng.uniform(0.09, 0.17)

    def shape(*outline: Point) -> list[Point]:
        return [(x + tall * across, y + tall * down) for across, down in outline]

    hull = Stencil(picture.size, y, y + tall * 0.14)
    hull.fill(shape((-0.4, 0), (0.46, 0), (0.3, 0.13), (-0.3, 0.13)))
    hull.paint(picture, colours.near)
    sails = Stencil(picture.size, y - tall, y)
    sails.fill(shape((0, -1), (0.42, -0.06), (0, -0.06)))
    sails.fill(shape((-0.04, -0.88), (-0.04, -0.06), (-0.34, -0.06)))
    sails.paint(picture, mix(colours.sun, colours.accent, 0.12))


def _dunes(size: Size, colours: Palette, rng: random.Random) -> Image.Image:
    """Sand in low light: every dune has a lit and a shaded side."""
    width, height = size
    unit = unit_of(size)
    horizon = height * rng.uniform(0.36, 0.52)
    sun = place_sun(size, rng, horizon)
    picture = sky(size, colours, rng, horizon + unit * 0.08, sun)
    side = 1 if sun.x < width / 2 else -1
    for layer in range(4):
        depth = layer / 3
        base = horizon + (height * 0.86 - horizon) * depth
        ridge = rolling(size, rng, base, unit * (0.035 + 0.05 * depth), 0.45)
        lit = mix(mix(colours.far, colours.horizon, 0.6), colours.near, 0.08 + 0.3 * depth)
        land(size, ridge, height).paint(picture, lit, mix(lit, colours.near, 0.35))
        crest = min(range(len(ridge)), key=lambda i: ridge[i][1] + abs(i / len(ridge) - 0.5) * unit * 0.1)
        behind = ridge[crest:] if side > 0 else ridge[crest::-1]
        _shade(picture, behind, side, mix(lit, colours.near, 0.55 + 0.2 * depth), rng)
    return picture


def _shade(picture: Image.Image, behind: list[Point], side: int, tone: Colour, rng: random.Random) -> None:
    """Darken a dune below the ridge `behind` its crest, as far as a winding edge down from the crest."""
    height, unit = picture.height, unit_of(picture.size)
    x0, y0 = behind[0]
    swing, drift = unit * rng.uniform(0.05, 0.12), side * unit * rng.uniform(-0.1, 0.25)
    edge = [
        (x0 + drift * t + swing * math.sin(4.4 * t) * t**0.6 * side, y0 + (height - y0) * t)
        for t in (step / 24 for step in range(25))
    ]
    stencil = Stencil(picture.size, min(y for _, y in behind), height)
    stencil.fill([*behind, (behind[-1][0], height), *edge[::-1]])
    stencil.paint(picture, tone)


def _forest(size: Size, colours: Palette, rng: random.Random) -> Image.Image:
    """Trunks in mist, the near ones dark and thick."""
    width, height = size
    unit = unit_of(size)
    sun = place_sun(size, rng, height * 0.62)
    picture = sky(size, colours, rng, height, sun)
    for depth in (0.1, 0.5, 1.0):
        floor = rolling(size, rng, height * (0.74 + 0.2 * depth), unit * 0.02, 0.7)
        stencil = land(size, floor, height, height)
        for _ in range(round((20 - 15 * depth) * width / unit)):
            _trunk(stencil, rng, rng.choice(floor), unit * (0.009 + 0.03 * depth**1.5))
        tone = mix(mix(colours.far, colours.horizon, 0.45), colours.near, depth**1.1)
        stencil.paint(picture, tone, tone, mix(tone, colours.horizon, 0.42 * (1 - depth)))
    return picture


def _trunk(stencil: Stencil, rng: random.Random, foot: Point, thick: float) -> None:
    x, y = foot
    lean, half = rng.uniform(-0.03, 0.03) * y, thick * rng.uniform(0.35, 0.6)
    top = [(x + lean - half * 0.6, -1.0), (x + lean + half * 0.6, -1.0)]
    flare = [(x + half, y - thick), (x + half * 2, y + 3), (x - half * 2, y + 3), (x - half, y - thick)]
    stencil.fill([*top, *flare])
    for _ in range(rng.randrange(2, 6)):
        up = rng.uniform(0.35, 1)
        x0, y0, out = x + lean * up, y * (1 - up), rng.choice((-1, 1)) * thick * rng.uniform(2, 5)
        stencil.line([(x0, y0), (x0 + out * 0.5, y0 - abs(out) * 0.25), (x0 + out, y0 - abs(out) * 0.7)], half * 0.4)


def _peaks(size: Size, colours: Palette, rng: random.Random) -> Image.Image:
    """One great mountain with snow on its head, and a pine wood at its feet."""
    width, height = size
    unit = unit_of(size)
    picture = sky(size, colours, rng, height * 0.8, place_sun(size, rng, height * 0.45))
    back = jagged(size, rng, height * 0.6, unit * 0.07)
    land(size, back, height).paint(picture, colours.far, mix(colours.far, colours.horizon, 0.5))
    _mountain(picture, colours, rng, (width * rng.uniform(0.3, 0.7), height * rng.uniform(0.2, 0.3)))
    for depth in (0.55, 1.0):
        ridge = rolling(size, rng, height * (0.72 + 0.19 * depth), unit * 0.03, 0.6)
        stencil = land(size, ridge, height, unit * 0.2)
        wood(stencil, ridge, rng, unit * (0.06 + 0.1 * depth**2), 46 - round(16 * depth))
        tone = mix(colours.far, colours.near, depth)
        stencil.paint(picture, tone, mix(tone, colours.horizon, 0.25 * (1.2 - depth)))
    return picture


def _mountain(picture: Image.Image, colours: Palette, rng: random.Random, top: Point) -> None:
    """A cone with rough flanks, its right side in shade, and a torn cap of snow."""
    unit, foot, count = unit_of(picture.size), picture.height * 0.92, 40
    reach, rough = unit * rng.uniform(0.66, 0.86), unit * 0.012

    def edge(lean: float, wild: float) -> list[Point]:
        return [
            (
                top[0] + lean * reach * t**1.1 + rng.uniform(-wild, wild) * min(1.0, 4 * t),
                top[1] + (foot - top[1]) * t,
            )
            for t in (step / count for step in range(count + 1))
        ]

    left, spine, right = edge(-1, rough), edge(rng.uniform(-0.1, 0.15), 1.8 * rough), edge(1, rough)
    rock = mix(colours.far, colours.near, 0.45)
    snow = mix(colours.sun, colours.horizon, 0.3)
    line = round(count * rng.uniform(0.28, 0.42))
    for a, b, dark, veil in ((left, spine, 0.0, 0.1), (spine, right, 0.4, 0.45)):
        side = Stencil(picture.size, top[1] - 1, foot)
        side.fill([*a, *b[::-1]])
        tone = mix(rock, colours.near, dark)
        side.paint(picture, tone, mix(tone, colours.horizon, 0.35 - 0.3 * dark))
        cap = Stencil(picture.size, top[1] - 1, a[line][1] + unit * 0.07)
        teeth = [
            (a[line][0] + (b[line][0] - a[line][0]) * t, a[line][1] + unit * rng.uniform(-0.03, 0.06) * min(1, 4 * t))
            for t in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
        ]
        cap.fill([*a[: line + 1], *teeth, *b[line::-1]])
        cap.paint(picture, mix(snow, rock, veil))


def _coloured(tones: Image.Image, colours: Palette) -> Image.Image:
    """An "L" picture in the palette's colours: 0 is the near land's, 255 nearly the sun's."""
    stops = (
        colours.near,
        mix(colours.near, colours.middle, 0.5),
        colours.middle,
        mix(colours.middle, colours.horizon, 0.6),
        mix(colours.horizon, colours.sun, 0.6),
    )
    tones.putpalette(wash((1, 256), *stops).tobytes())
    return tones.convert("RGB")


def _papercut(size: Size, colours: Palette, rng: random.Random) -> Image.Image:
    """Sheets of paper with wavy holes, one upon the other, with the sun at the bottom of them."""
    width, height = size
    unit = unit_of(size)
    x0, y0 = width * rng.uniform(0.36, 0.64), height * rng.uniform(0.42, 0.58)
    lobes, phase, twist = rng.randrange(2, 6), rng.uniform(0, 6), rng.uniform(0.1, 0.4)
    # Tones are drawn instead of colours: a quarter of the memory, and one map makes them harmonise.
    canvas = Image.new("L", (2 * width, 2 * height), 10)
    pen = ImageDraw.Draw(canvas)
    sheets, steps = rng.randrange(5, 8), min(160, max(40, width // 8))
    for sheet in range(1, sheets + 1):
        depth = sheet / sheets
        outline: list[Point] = []
        for step in range(steps):
            angle = math.tau * step / steps
            wave = 0.09 * math.sin(lobes * angle + phase + twist * sheet)
            wave += 0.04 * math.sin((lobes + 3) * angle - phase + 2 * twist * sheet)
            reach = (1.2 - 0.92 * depth) * (1 + wave)
            outline.append((x0 + math.cos(angle) * reach * width * 0.55, y0 + math.sin(angle) * reach * height * 0.55))
        for band in range(6):
            drop = unit * 0.022 * band / 5
            tone = round(10 + 240 * depth - 40 * (1 - band / 5) ** 0.8)
            pen.polygon([(2 * x + drop, 2 * (y + drop)) for x, y in outline], fill=max(0, tone))
    picture = _coloured(canvas.reduce(2), colours)
    sun = Stencil(size, y0 - unit * 0.08, y0 + unit * 0.09)
    sun.ellipse(x0 + unit * 0.01, y0 + unit * 0.01, unit * 0.055, unit * 0.055)
    sun.paint(picture, colours.accent)
    return picture


def _scales(size: Size, colours: Palette, rng: random.Random) -> Image.Image:
    """Waves as overlapping scales of concentric arcs under a plain sky."""
    width, height = size
    unit = unit_of(size)
    line = height * rng.uniform(0.3, 0.5)
    picture = sky(size, colours, rng, line + unit * 0.1, place_sun(size, rng, line))
    radius = unit * rng.uniform(0.09, 0.16)
    top = max(0, round(line - radius))
    canvas = Image.new("L", (2 * width, 2 * (height - top)), 255)
    cut = Image.new("L", canvas.size)
    pen, cutter = ImageDraw.Draw(canvas), ImageDraw.Draw(cut)
    row, y = 0, line
    while y - radius < height:
        tone = 200 * (1 - min(1, (y - line) / (height - line)))
        x = -radius * (1 + row % 2) + radius * 0.5
        while x < width + radius:
            for ring in range(4):
                reach = radius * (1 - ring * 0.24)
                box = [2 * (x - reach), 2 * (y - top - reach), 2 * (x + reach), 2 * (y - top + reach)]
                pen.ellipse(box, fill=round(tone + (32 if ring % 2 else 0)))
                if row < 2 and ring == 0:
                    cutter.ellipse(box, fill=255)
            x += 2 * radius
        row, y = row + 1, y + radius * 0.5
    cutter.rectangle((0, 2 * (line + radius * 0.5 - top), 2 * width, 2 * height), fill=255)
    picture.paste(_coloured(canvas.reduce(2), colours), (0, top), cut.reduce(2))
    return picture


SCENES: tuple[Scene, ...] = (_hills, _papercut, _lake, _dunes, _forest, _sea, _peaks, _scales)
