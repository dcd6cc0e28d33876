"""A job's pictures on one sheet: a strip for each stage, a frame for each picture, missing ones empty."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from darkroom.domain.stage_labels import number_of_stage
from darkroom.pictures import mark_of_sheet

MOST_SHOWN = 600
"""Pictures on one sheet; more could not be told apart, and would not fit into a JPEG."""

MOST_HIGH = 16_000
"""Height of a sheet in pixels: browsers refuse much higher ones; frames shrink to keep within it."""

PAPER = (19, 18, 18)
WELL = (27, 26, 26)
HAIRLINE = (62, 60, 59)
FAINT = (134, 130, 127)
QUIET = (171, 167, 163)
BRIGHT = (236, 232, 227)
SAFE_LIGHT = (227, 81, 68)

MARGIN = 48
GAP = 8
HEADER = 108
STRIP_HEAD = 48
STRIP_FOOT = 28
CAPTION = 20
STORY = 100
MOST_LINES = 4

_NO_PICTURE = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, Image.DecompressionBombError)
"""All that Pillow's decoders are known to raise over damaged files."""

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Frame:
    """One ordered picture: where its bytes are, or why there are none."""

    stage_index: int
    ordinal: int
    label: str = ""
    """What its stage is called; the first frame of a stage names it."""
    picture: Path | Callable[[], bytes] | None = None
    """A file, or a function that gives an encoded picture when its turn comes; None when it is missing."""
    reason: str = "missing"
    """Why it is missing; shown in the empty frame."""
    caption: str = ""
    """What stands below it instead of its ordinal, on up to four lines."""

    @property
    def missing(self) -> bool:
        """Whether the frame stays empty."""
        return self.picture is None


class _Strip(NamedTuple):
    """One stage: all its frames, those that are shown, and the shape of a picture (width / height)."""

    frames: list[Frame]
    shown: list[Frame]
    shape: float

    def grid(self, width: int, row: int) -> tuple[int, int]:
        """A frame's width, and how many stand in a row of `width` pixels and `row` pixels height."""
        frame = min(width, max(8, int(row * self.shape)))
        # 1376 x 768 is a little wider than 16:9: rather a frame a few pixels narrower than a gap at the right.
        columns = max(1, int((width + GAP) / (frame + GAP) + 0.06))
        return min(frame, (width - (columns - 1) * GAP) // columns), columns

    def height(self, width: int, row: int) -> int:
        """Pixels from the strip's heading to the next one's."""
        _, columns = self.grid(width, row)
        return STRIP_HEAD + math.ceil(len(self.shown) / columns) * (row + self.below) + STRIP_FOOT

    @property
    def below(self) -> int:
        """Pixels below a frame for what is written there."""
        return STORY if any(frame.caption for frame in self.shown) else CAPTION


def contact_sheet(title: str, pictures: Sequence[Frame], *, width: int = 1600, columns: int = 8) -> bytes:
    """The sheet as a JPEG, `width` pixels wide and as high as it takes.

    Frames keep their pictures' shape and are as high as a 16:9 picture of which `columns` fill a row.
    Pictures are opened one after another, the first 600 in the order of stage and ordinal.
    """
    ordered = sorted(pictures, key=lambda frame: (frame.stage_index, frame.ordinal))
    strips = list(_strips(ordered))
    inner = width - 2 * MARGIN
    row = max(12, int((inner - (columns - 1) * GAP) / columns * 9 / 16))
    while row > 12 and _height(strips, inner, row) > MOST_HIGH:
        row = max(12, round(row * 0.9))
    sheet = Image.new("RGB", (width, _height(strips, inner, row)), PAPER)
    pen = ImageDraw.Draw(sheet)
    _header(pen, title, ordered, width)
    top = HEADER
    packets: list[bytes] = []
    for strip in strips:
        packets += _strip(sheet, pen, strip, top, row)
        top += strip.height(inner, row)
    out = io.BytesIO()
    mark = mark_of_sheet(packets)
    sheet.save(out, "JPEG", quality=92, subsampling=0, **({} if mark is None else {"xmp": mark}))
    return out.getvalue()


def _height(strips: list[_Strip], inner: int, row: int) -> int:
    return HEADER + sum(strip.height(inner, row) for strip in strips) + MARGIN // 2


def _strips(ordered: list[Frame]) -> Iterator[_Strip]:
    left = MOST_SHOWN
    for _, group in groupby(ordered, key=lambda frame: frame.stage_index):
        frames = list(group)
        shown = frames[:left]
        left -= len(shown)
        if shown:
            yield _Strip(frames, shown, _shape(shown))


def _shape(frames: list[Frame]) -> float:
    """Width / height of the first picture that can be read: the ratio belongs to the stage."""
    for frame in frames:
        if (opened := _open(frame)) is not None:
            with opened:
                return opened.width / opened.height
    return 16 / 9


def _open(frame: Frame) -> Image.Image | None:
    """The picture with only its head read, or None if it is missing or no picture."""
    if frame.picture is None:
        return None
    try:
        return Image.open(frame.picture if isinstance(frame.picture, Path) else io.BytesIO(frame.picture()))
    except _NO_PICTURE:
        return None


def _header(pen: ImageDraw.ImageDraw, title: str, frames: list[Frame], width: int) -> None:
    total, delivered = len(frames), sum(not frame.missing for frame in frames)
    count = f"{delivered:,} of {total:,}"
    if total > MOST_SHOWN:
        count += f" · the first {MOST_SHOWN:,} are shown"
    right = width - MARGIN
    room = right - MARGIN - 40 - pen.textlength(count, _font(20))
    pen.ellipse((MARGIN, 41, MARGIN + 13, 54), fill=SAFE_LIGHT)
    pen.text((MARGIN + 26, 57), _fit(pen, title, _font(28), room), BRIGHT, _font(28), anchor="ls")
    pen.text((right, 57), count, QUIET, _font(20), anchor="rs")
    pen.line((MARGIN, 80, right, 80), HAIRLINE)
    if delivered:
        pen.line((MARGIN, 80, MARGIN + (right - MARGIN) * delivered / total, 80), SAFE_LIGHT, 2)


def _strip(sheet: Image.Image, pen: ImageDraw.ImageDraw, strip: _Strip, top: int, row: int) -> list[bytes]:
    """What the pictures say in their XMP."""
    inner = sheet.width - 2 * MARGIN
    frame_width, columns = strip.grid(inner, row)
    delivered = sum(not frame.missing for frame in strip.frames)
    name = "pages" if strip.frames[0].caption else number_of_stage(strip.frames[0].stage_index)
    heading = f"{name} · {delivered:,} of {len(strip.frames):,}"
    pen.text((MARGIN, top + 30), heading, BRIGHT, _font(17), anchor="ls")
    after = MARGIN + pen.textlength(heading, _font(17)) + 20
    label = _fit(pen, strip.frames[0].label, _font(15), sheet.width - MARGIN - after)
    pen.text((after, top + 30), label, FAINT, _font(15), anchor="ls")
    packets = []
    for place, frame in enumerate(strip.shown):
        down, across = divmod(place, columns)
        x, y = MARGIN + across * (frame_width + GAP), top + STRIP_HEAD + down * (row + strip.below)
        thumbnail = _thumbnail(frame, (frame_width, row))
        packet = None if thumbnail is None else _beside(frame) or thumbnail.info.get("xmp")
        packets += [packet] if isinstance(packet, bytes) else []
        _frame(sheet, pen, frame, thumbnail, (x, y, x + frame_width, y + row))
    return packets


def _beside(frame: Frame) -> bytes | None:
    """The mark beside a picture that was delivered as it came."""
    mark = frame.picture.with_suffix(".xmp") if isinstance(frame.picture, Path) else None
    return mark.read_bytes() if mark is not None and mark.is_file() else None


def _frame(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    frame: Frame,
    thumbnail: Image.Image | None,
    box: tuple[int, int, int, int],
) -> None:
    left, top, right, bottom = box
    if thumbnail is None:
        _empty(sheet, frame, box)
    else:
        sheet.paste(thumbnail, (left, top))
        pen.rectangle((left, top, right - 1, bottom - 1), outline=HAIRLINE)
    if not frame.caption:
        pen.text((left + 1, bottom + 13), f"{frame.ordinal}", FAINT, _font(11), anchor="ls")
        return
    pen.text((left + 1, bottom + 18), f"{frame.ordinal + 1}", SAFE_LIGHT, _font(14), anchor="ls")
    lines = _wrapped(pen, frame.caption, _font(15), right - left - 30)
    for number, line in enumerate(lines[:MOST_LINES]):
        pen.text((left + 26, bottom + 18 + number * 21), line, QUIET, _font(15), anchor="ls")


def _thumbnail(frame: Frame, size: tuple[int, int]) -> Image.Image | None:
    opened = _open(frame)
    if opened is None:
        return None
    with opened:
        try:
            opened.draft("RGB", size)
            small = ImageOps.fit(opened.convert("RGB"), size, Image.Resampling.LANCZOS)
        except _NO_PICTURE:
            return None
        small.info["xmp"] = opened.info.get("xmp")
        return small


def _empty(sheet: Image.Image, frame: Frame, box: tuple[int, int, int, int]) -> None:
    """A hatched frame with the reason in it; what lies outside of the frame is cut off."""
    width, height = box[2] - box[0], box[3] - box[1]
    well = Image.new("RGB", (width, height), WELL)
    pen = ImageDraw.Draw(well)
    for start in range(-height, width, 9):
        pen.line((start, height, start + height, 0), (38, 36, 35))
    pen.rectangle((0, 0, width - 1, height - 1), outline=HAIRLINE)
    reason = frame.reason if frame.missing else "unreadable"
    lines = _wrapped(pen, reason, _font(12), width - 20)[: max(0, (height - 12) // 16)]
    for number, line in enumerate(lines):
        y = height / 2 + (number - (len(lines) - 1) / 2) * 16
        pen.text((width / 2, y), line, QUIET, _font(12), anchor="mm")
    pen.ellipse((width - 14, 8, width - 9, 13), fill=SAFE_LIGHT)
    sheet.paste(well, box[:2])


@lru_cache
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _fit(pen: ImageDraw.ImageDraw, text: str, font: _Font, room: float) -> str:
    """The text on one line, its end left out where it would not fit into `room` pixels."""
    line = " ".join(text.split())[:400]
    if pen.textlength(line, font) <= room:
        return line
    while line and pen.textlength(f"{line}…", font) > room:
        line = line[:-1].rstrip()
    return f"{line}…" if line else ""


def _wrapped(pen: ImageDraw.ImageDraw, text: str, font: _Font, room: float) -> list[str]:
    """The words on as many lines as they need, each fitted into `room` pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and pen.textlength(longer, font) <= room:
            lines[-1] = longer
        else:
            lines.append(_fit(pen, word, font, room))
    return lines
