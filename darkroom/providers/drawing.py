"""One offline picture: a scene out of the prompt's hash, and the references hung in it as prints."""

import hashlib
import io
import random
import threading
from collections import OrderedDict
from math import ceil

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from darkroom.domain.errors import DarkroomError
from darkroom.domain.images import ImageRequest, ReferenceImage
from darkroom.providers.palettes import Palette, mix, palette
from darkroom.providers.scenes import SCENES

Size = tuple[int, int]


_NO_PICTURE = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, Image.DecompressionBombError)
"""All that Pillow's decoders are known to raise over damaged files."""


class UnreadableReferenceError(DarkroomError):
    """A reference is not a picture that can be read."""


def draw(request: ImageRequest, size: Size, seed: int = 0) -> bytes:
    """The picture of a request as a JPEG of `size` (width, height in pixels).

    It depends on the seed, the prompt, the stage, the ordinal and the references, not on the attempt:
    a repeated call gives the same bytes. Safe in any number of threads.

    Raises:
        UnreadableReferenceError: naming the reference by its place, counted from 1.
    """
    prints = [_readable(request, place, size) for place in range(len(request.references))]
    subject = dice(seed, request.prompt)
    rng = dice(seed, request.prompt, request.stage_index, request.ordinal)
    # Neighbours share neither scene nor light; when the scenes come round again, the light has moved on.
    rounds, scene = divmod(request.ordinal, len(SCENES))
    colours = palette(
        scheme=subject.randrange(60) + 5 * request.stage_index,
        light=request.ordinal + rounds + request.stage_index,
        turn=subject.uniform(-14, 14),
        rng=rng,
    )
    first = subject.randrange(len(SCENES)) + 3 * request.stage_index
    picture = SCENES[(first + scene) % len(SCENES)](size, colours, rng)
    if prints:
        _hang(picture, prints, colours, rng)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def dice(*parts: str | int) -> random.Random:
    """Random numbers that follow from the parts alone, the same in every process."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(digest))  # noqa: S311 - pictures are no secrets


def _hang(picture: Image.Image, photos: list[Image.Image], colours: Palette, rng: random.Random) -> None:
    """Hang the references as prints on drying lines: one large, several in the rows that use the room best."""
    width, height = picture.size
    rows = max(
        range(1, len(photos) + 1),
        key=lambda rows: min(width / ceil(len(photos) / rows), 0.9 * height / rows),
    )
    columns = ceil(len(photos) / rows)
    # One print stands aside, as a scene's own subject would; several need the whole width.
    left = width * rng.choice((0.04, 0.27, 0.5)) if columns == 1 and width > height else 0.04 * width
    across = 0.46 * width if columns == 1 and width > height else 0.92 * width / columns
    down = 0.88 * height / rows
    for row in range(rows):
        line = round(height * 0.06 + down * row)
        _cord(picture, line, colours)
        hung = photos[row * columns : (row + 1) * columns]
        slack = (columns - len(hung)) / 2
        for column, photo in enumerate(hung):
            framed = _framed(photo, (0.88 * across, (0.72 if rows == 1 else 0.84) * down), rng)
            centre = left + across * (column + slack + 0.5)
            _clip(picture, framed, (centre, line), colours)


def _cord(picture: Image.Image, y: int, colours: Palette) -> None:
    thick = max(1, picture.height // 380)
    ImageDraw.Draw(picture).rectangle((0, y, picture.width, y + thick - 1), fill=mix(colours.near, (30, 28, 28), 0.5))


def _framed(photo: Image.Image, room: tuple[float, float], rng: random.Random) -> Image.Image:
    """The photo with a white border, a little askew; RGBA, so that its corners are clear."""
    border = round(min(room) * 0.035)
    inner = (max(1, round(room[0]) - 2 * border), max(1, round(room[1]) - 2 * border))
    framed = ImageOps.expand(ImageOps.contain(photo, inner), border, (246, 243, 236)).convert("RGBA")
    return framed.rotate(rng.uniform(-2.2, 2.2), Image.Resampling.BILINEAR, expand=True)


def _clip(picture: Image.Image, framed: Image.Image, at: tuple[float, float], colours: Palette) -> None:
    """Paste a print with its shadow below the cord at `at`, and two pegs that hold it."""
    x, y = round(at[0] - framed.width / 2), round(at[1])
    drop = max(1, round(framed.height * 0.02))
    # A shadow is soft: an eighth of the size will do.
    small = (max(1, framed.width // 8), max(1, framed.height // 8))
    shade = Image.new("L", (small[0] + 4, small[1] + 4))
    shade.paste(105, (2, 2, small[0] + 2, small[1] + 2))
    spread = (framed.width * shade.width // small[0], framed.height * shade.height // small[1])
    soft = shade.filter(ImageFilter.BoxBlur(1.2)).resize(spread, Image.Resampling.BILINEAR)
    corner = (x - (spread[0] - framed.width) // 2 + drop, y - (spread[1] - framed.height) // 2 + 2 * drop)
    picture.paste(mix(colours.near, (0, 0, 0), 0.6), corner, soft)
    picture.paste(framed, (x, y), framed)
    peg = max(1.0, framed.height * 0.018)
    pen = ImageDraw.Draw(picture)
    for share in (0.2, 0.8):
        middle = x + framed.width * share
        pen.rectangle((middle - peg * 0.6, y - peg, middle + peg * 0.6, y + peg * 2.2), fill=colours.accent)


class _Prints:
    """Decoded references by their content: every picture of a stage is drawn after the same ones."""

    def __init__(self, room: int) -> None:
        self._kept: OrderedDict[tuple[bytes, Size], Image.Image] = OrderedDict()
        self._room = room
        self._lock = threading.Lock()

    def get(self, reference: ReferenceImage, size: Size) -> Image.Image:
        key = (hashlib.blake2b(reference.data, digest_size=16).digest(), size)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        photo = _decoded(reference.data, size)
        with self._lock:
            self._kept[key] = photo
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)
        return photo


_PRINTS = _Prints(room=20)


def _readable(request: ImageRequest, place: int, size: Size) -> Image.Image:
    reference = request.references[place]
    try:
        return _PRINTS.get(reference, size)
    except _NO_PICTURE as error:
        raise UnreadableReferenceError(
            f"reference {place + 1} of {len(request.references)} ({reference.media_type}, "
            f"{len(reference.data)} bytes) is not a readable picture; upload it again"
        ) from error


def _decoded(data: bytes, size: Size) -> Image.Image:
    """The reference upright, on white paper, no larger than a print in a picture of `size` ever is."""
    room = (max(1, size[0]), max(1, round(0.7 * size[1])))
    with Image.open(io.BytesIO(data)) as opened:
        opened.draft("RGB", room)
        opened.thumbnail(room, reducing_gap=2.0)
        upright = ImageOps.exif_transpose(opened)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        paper = Image.new("RGB", rgba.size, "white")
        paper.paste(rgba, mask=rgba.getchannel("A"))
        return paper
    return upright.convert("RGB")
