"""The contact sheet: every picture in its strip, the missing ones too, and never more than it can hold."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from cli import contact_sheet as module
from cli.contact_sheet import MOST_HIGH, MOST_SHOWN, SAFE_LIGHT, Frame, contact_sheet
from darkroom.decoding.xmp import ALGORITHMIC, COMPOSITE, TRAINED, Mark, marked
from tests.support.readback import SOURCE_TYPE, xmp_of


def jpeg(colour: str, size: tuple[int, int] = (160, 90)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG")
    return out.getvalue()


def sheet_of(frames: list[Frame], title: str = "A job", **options: int) -> Image.Image:
    return Image.open(io.BytesIO(contact_sheet(title, frames, **options))).convert("RGB")


def close(pixel: object, colour: tuple[int, int, int], within: int = 24) -> bool:
    return isinstance(pixel, tuple) and all(abs(a - b) <= within for a, b in zip(pixel, colour, strict=True))


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is written on a sheet, in order."""
    written: list[str] = []
    original: Callable[..., None] = ImageDraw.ImageDraw.text

    def noted(pen: ImageDraw.ImageDraw, xy: object, text: str, *args: object, **options: object) -> None:
        written.append(text)
        original(pen, xy, text, *args, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    return written


def test_stages_and_ordinals_stand_in_order_with_their_labels(texts: list[str]) -> None:
    picture = jpeg("teal")
    frames = [Frame(1, o, "harbour", lambda: picture) for o in (1, 0)]
    frames += [Frame(0, o, "lake", lambda: picture) for o in (2, 0, 1)]
    sheet_of([*frames, Frame(1, 2, "harbour", reason="no picture came")], "Two stages")
    assert texts == [
        *("Two stages", "5 of 6", "stage 1 · 3 of 3", "lake", "0", "1", "2"),
        *("stage 2 · 2 of 3", "harbour", "0", "1", "no picture came", "2"),
    ]


def test_pictures_come_from_files_and_from_functions(tmp_path: Path) -> None:
    file = tmp_path / "0-0.webp"
    Image.new("RGB", (160, 90), "red").save(file)
    sheet = sheet_of([Frame(0, 0, picture=file), Frame(0, 1, picture=lambda: jpeg("blue"))], columns=2)
    middle = module.HEADER + module.STRIP_HEAD + 200
    assert close(sheet.getpixel((400, middle)), (255, 0, 0))
    assert close(sheet.getpixel((1200, middle)), (0, 0, 255))


@pytest.mark.parametrize(("width", "columns"), [(1600, 8), (800, 3), (2400, 12)])
def test_the_sheet_is_as_wide_as_asked_and_as_high_as_it_takes(width: int, columns: int) -> None:
    frames = [Frame(0, ordinal, picture=lambda: jpeg("teal")) for ordinal in range(2 * columns)]
    one = sheet_of(frames[:columns], width=width, columns=columns)
    two = sheet_of(frames, width=width, columns=columns)
    assert one.width == two.width == width
    assert one.height < two.height < 2 * one.height


def test_frames_keep_the_shape_of_their_stage(texts: list[str]) -> None:
    tall = [Frame(0, ordinal, picture=lambda: jpeg("red", (90, 160))) for ordinal in range(2)]
    sheet = sheet_of(tall)
    y = module.HEADER + module.STRIP_HEAD + 20
    reds = [x for x in range(sheet.width) if close(sheet.getpixel((x, y)), (255, 0, 0))]
    frame_width = 9 / 16 * (1504 - 7 * 8) / 8 * 9 / 16
    assert len(reds) == pytest.approx(2 * frame_width, abs=8)


def test_a_job_without_any_picture_and_one_without_frames_have_a_sheet(texts: list[str]) -> None:
    assert sheet_of([Frame(0, 0, reason="refused by policy")]).width == 1600
    assert "refused by policy" in texts
    assert sheet_of([]).width == 1600


def test_what_is_no_picture_is_shown_as_unreadable(tmp_path: Path, texts: list[str]) -> None:
    for picture in (tmp_path / "gone.webp", lambda: b"no picture", lambda: jpeg("red")[:300]):
        texts.clear()
        sheet_of([Frame(0, 0, picture=picture)])
        assert "unreadable" in texts


def test_thirty_thousand_pictures_are_not_all_opened(texts: list[str]) -> None:
    opened: list[int] = []
    picture = jpeg("teal")

    def opener(number: int) -> Callable[[], bytes]:
        def read() -> bytes:
            opened.append(number)
            return picture

        return read

    frames = [Frame(n // 500, n % 500, "many", opener(n)) for n in range(30_000)]
    sheet = sheet_of(frames)
    assert "30,000 of 30,000 · the first 600 are shown" in texts
    assert set(opened) == set(range(MOST_SHOWN))
    assert sheet.height <= MOST_HIGH


def test_very_wide_pictures_shrink_until_the_sheet_fits() -> None:
    frames = [Frame(0, n, picture=lambda: jpeg("teal", (800, 100))) for n in range(MOST_SHOWN)]
    assert sheet_of(frames).height <= MOST_HIGH


def test_long_titles_labels_and_reasons_stay_inside() -> None:
    long = "a very long sentence about a picture " * 60
    sheet = sheet_of([Frame(0, 0, long), Frame(0, 1, long, reason="x" * 500)], long)
    edge = sheet.crop((sheet.width - 40, 0, sheet.width, sheet.height))
    assert max(edge.convert("L").tobytes()) < 40


def test_the_line_in_the_head_is_as_long_as_what_is_delivered() -> None:
    frames = [Frame(0, 0, picture=lambda: jpeg("teal")), Frame(0, 1), Frame(0, 2), Frame(0, 3)]
    sheet = sheet_of(frames)
    lit = [x for x in range(sheet.width) if close(sheet.getpixel((x, 80)), SAFE_LIGHT, 40)]
    assert len(lit) == pytest.approx(1504 / 4, abs=4)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ((ALGORITHMIC, TRAINED), TRAINED),
        ((ALGORITHMIC, COMPOSITE, None), COMPOSITE),
        ((None, ALGORITHMIC), ALGORITHMIC),
        ((None, None), None),
    ],
)
def test_a_sheet_says_the_strongest_of_what_its_pictures_say(said: tuple[str | None, ...], wanted: str | None) -> None:
    plain = Image.open(io.BytesIO(jpeg("teal")))

    def picture(source: str | None) -> bytes:
        out = io.BytesIO()
        plain.save(out, "WEBP", **({} if source is None else {"xmp": marked(Mark(source))}))
        return out.getvalue()

    frames = [Frame(0, n, picture=lambda source=source: picture(source)) for n, source in enumerate(said)]  # type: ignore[misc]
    assert xmp_of(contact_sheet("A job", frames)).get(SOURCE_TYPE) == wanted
