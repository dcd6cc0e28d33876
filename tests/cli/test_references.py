"""Pictures given along with an order: prepared as an upload is, or refused in one line."""

import io
import json
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from darkroom.domain.names import LOCAL_USER
from tests.cli.conftest import Run, contents
from tests.cli.rejections import assert_rejected, order
from tests.support.hostile_pictures import animated, exif, picture


def png(width: int, height: int) -> bytes:
    """A black picture of one bit a pixel, packed row by row: 900 megapixels are 110 KB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer, row = zlib.compressobj(1), bytes(1 + (width + 7) // 8)
    packed = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "#a33").save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notes.png", b"not a picture at all"),
        ("empty.png", b""),
        ("cut.jpg", jpeg()[:200]),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ],
)
def test_a_reference_that_is_no_picture_is_refused(
    run: Run, settled: Path, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / "order.json").write_bytes(order())
    (tmp_path / name).write_bytes(data)
    reason = f"reference: {name}: {len(data)} bytes are not a PNG, JPEG or WebP picture"
    assert_rejected(run, settled, reason, "order.json", "--reference", name)


def test_a_reference_in_heic_is_refused_with_what_to_do(run: Run, settled: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    reason = "reference: photo.jpg: this is a picture in HEIC format, which cannot be a reference; convert it to JPEG"
    assert_rejected(run, settled, reason, "order.json", "-r", "photo.jpg")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused_as_a_reference(run: Run, settled: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "order.json").write_bytes(order())
    (tmp_path / "moves").write_bytes(animated(kind))
    assert_rejected(run, settled, "animations cannot be references", "order.json", "-r", "moves")


def test_a_picture_that_is_small_on_disk_and_huge_in_memory_is_refused(run: Run, settled: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    (tmp_path / "bomb.png").write_bytes(png(30_000, 30_000))
    assert (tmp_path / "bomb.png").stat().st_size < 2_000_000
    assert_rejected(run, settled, "30000x30000 pixels exceed the maximum", "order.json", "-r", "bomb.png")


def test_a_reference_above_20_mb_is_refused_by_its_size(run: Run, settled: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    with (tmp_path / "large.png").open("wb") as sparse:
        sparse.truncate(21 * 1024 * 1024)
    assert_rejected(run, settled, "reference: large.png has 22,020,096 bytes", "order.json", "-r", "large.png")


def test_a_reference_for_a_stage_that_is_not_ordered_is_refused(run: Run, settled: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    (tmp_path / "a.jpg").write_bytes(jpeg())
    assert_rejected(run, settled, "reference: a.jpg: the order has no stage_index 7", "order.json", "-r", "7=a.jpg")
    assert_rejected(run, settled, "reference: '0=' names no file; write [INDEX=]FILE", "order.json", "-r", "0=")
    assert_rejected(run, settled, "reference: b.jpg does not exist", "order.json", "-r", "0=b.jpg")


def test_a_reference_file_becomes_an_attachment_of_the_local_user(run: Run, connected: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    (tmp_path / "a.jpg").write_bytes(jpeg())
    ended = run("submit", "order.json", "-r", "0=a.jpg", "--json")
    assert ended.status == 0, ended
    assert any(line.startswith(f"files/uploads/user-{LOCAL_USER}/") for line in contents(connected))


def test_a_reference_file_is_stored_as_an_upload_is(run: Run, connected: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    (tmp_path / "a.jpg").write_bytes(picture("JPEG", (64, 32), exif=exif(orientation=6)))
    ended = run("submit", "order.json", "-r", "0=a.jpg", "--json")
    assert ended.status == 0, ended
    (stored,) = (path for path in (connected / "files/uploads").rglob("*") if path.is_file())
    assert b"PAYLOAD" not in stored.read_bytes()
    with Image.open(stored) as image:
        assert image.size == (32, 64)


@pytest.mark.parametrize("there", [5, True, "7", {"attachId": 7}])
def test_references_of_another_shape_are_refused_in_one_line_beside_a_file_too(
    run: Run, settled: Path, tmp_path: Path, there: object
) -> None:
    (tmp_path / "order.json").write_text(json.dumps({"prompt": "x", "quantity": 1, "uploadedAttachIds": there}))
    (tmp_path / "a.jpg").write_bytes(jpeg())
    assert_rejected(run, settled, "uploaded_attach_ids: must be a list", "order.json", "--reference", "a.jpg")
