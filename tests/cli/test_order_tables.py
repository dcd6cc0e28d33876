"""Tables on the command line: a stage per row, with the pictures that rows name; what is wrong names row and column."""

import io
import json
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cli.working import run as run_work
from darkroom.records.sqlite import SqliteRecords
from tests.cli.conftest import Run
from tests.cli.rejections import assert_rejected, order
from tests.cli.test_references import jpeg, png

PROMPT = "A {colour} {product}"
TABLE = b"""\
colour;product;quantity;reference
red;chair;3;a.jpg

green;lamp;;"sub/b.png; a.jpg"
blue;vase;2;
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(jpeg())
    (folder / "sub" / "b.png").write_bytes(png(8, 8))
    (folder / "sub" / "note.txt").write_text("hello")
    (tmp_path / "rows.csv").write_bytes(TABLE)
    return folder


def stored(home: Path, job_id: str) -> Any:
    """The document of a job."""

    async def look() -> Any:
        records = SqliteRecords(home / "records.db")
        source = await records.order_source(UUID(job_id))
        await records.close()
        return source

    return run_work(look())


def test_a_table_is_ordered_with_its_pictures(run: Run, settled: Path, photos: Path) -> None:
    ended = run(
        "submit", "rows.csv", "--prompt", PROMPT, "--reference-dir", photos, "--json", "--set", "aspect-ratio=1:1"
    )
    assert ended.status == 0, ended
    assert ended.document["total_images"] == 6
    source = stored(settled, ended.document["job_id"])
    assert source.job_type == "template"
    rows = source.document["rows"]
    assert [(row["label"], row.get("quantity")) for row in rows] == [
        ("red, chair", "3"),
        ("green, lamp", None),
        ("blue, vase", "2"),
    ]
    first, second = ([ref["attach_id"] for ref in row["references"]] for row in rows[:2])
    assert second[1] == first[0] != second[0], "one picture in two rows is one attachment"
    assert "references" not in rows[2]
    assert all("reference" not in row for row in rows)
    assert (source.document["prompt"], source.document["aspect_ratio"]) == (PROMPT, "1:1")


def test_a_picture_for_all_rows_and_one_for_one(run: Run, settled: Path, photos: Path) -> None:
    (settled.parent / "rows.csv").write_bytes(b"colour\nred\ngreen\n")
    arguments = (
        "rows.csv",
        "--prompt",
        "A {colour} lamp",
        "-r",
        photos / "a.jpg",
        "-r",
        f"1={photos / 'sub' / 'b.png'}",
    )
    ended = run("submit", *arguments, "--json")
    assert ended.status == 0, ended
    document = stored(settled, ended.document["job_id"]).document
    [shared] = document["references"]
    assert document["rows"][1]["references"][0] == shared
    assert len(document["rows"][1]["references"]) == 2
    assert "references" not in document["rows"][0]


def test_rows_may_name_the_same_picture_differently(run: Run, settled: Path, photos: Path) -> None:
    (photos / "copy.jpg").write_bytes((photos / "a.jpg").read_bytes())
    (settled.parent / "rows.csv").write_bytes(b"reference\na.jpg\ncopy.jpg\na.jpg; copy.jpg\n")
    ended = run("submit", "rows.csv", "--prompt", "A lamp", "--reference-dir", photos, "--json")
    assert ended.status == 0, ended
    rows = stored(settled, ended.document["job_id"]).document["rows"]
    assert [row.get("reference") for row in rows] == [None] * 3
    [one] = {ref["attach_id"] for row in rows for ref in row["references"]}
    assert [len(row["references"]) for row in rows] == [1, 1, 2], one


def test_one_picture_may_be_for_several_stages(run: Run, settled: Path, photos: Path) -> None:
    (settled.parent / "rows.csv").write_bytes(b"colour\nred\ngreen\nblue\n")
    picture = photos / "a.jpg"
    arguments = ("--prompt", "A {colour} lamp", "-r", f"0={picture}", "-r", f"2={picture}")
    ended = run("submit", "rows.csv", *arguments, "--json")
    assert ended.status == 0, ended
    rows = stored(settled, ended.document["job_id"]).document["rows"]
    assert [len(row.get("references", [])) for row in rows] == [1, 0, 1]


def test_a_table_comes_through_standard_input(run: Run, settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"colour\nred\ngreen\n")))
    ended = run("submit", "-", "--prompt", "A {colour} lamp", "--json")
    assert (ended.status, ended.document["total_images"]) == (0, 2), ended


@pytest.mark.parametrize(
    ("table", "arguments", "said"),
    [
        (
            TABLE,
            ("--prompt", PROMPT),
            "row 2, column reference: 'a.jpg' is not among the files given with the order; name",
        ),
        (TABLE, ("--reference-dir", "photos"), "row 2, column prompt: is missing; give one prompt for all rows"),
        (
            b"a;reference\n1;c.jpg",
            ("--prompt", "x", "--reference-dir", "photos"),
            "row 2, column reference: photos/c.jpg d",
        ),
        (
            b"reference\n../a.jpg",
            ("--prompt", "x", "--reference-dir", "photos"),
            "'../a.jpg' lies outside of photos; give",
        ),
        (
            b"reference\n/etc/hostname",
            ("--prompt", "x", "--reference-dir", "photos"),
            "lies outside of photos; give its",
        ),
        (
            b"reference\na.jpg\n\nsub/note.txt",
            ("--prompt", "x", "--reference-dir", "photos"),
            "row 4, column reference: sub/note.txt: 5 bytes are not a PNG, JPEG or WebP picture",
        ),
        (
            b"a\n1",
            ("--prompt", "x", "--reference-dir", "photos"),
            "--reference-dir: no row names a file; name them in a",
        ),
        (b"a,b\n1", ("--prompt", "x {c}"), "row 2, column c: has no value, and the prompt needs {c}"),
        (b"a,quantity\n1,2\n\n3,x", ("--prompt", "x {a}"), "row 4, column quantity: "),
        (b"a,aspect ratio\n1,7:5", ("--prompt", "x"), "row 2, column aspect ratio: '7:5' is not supported by offline"),
        (b"a,references\n1,1", ("--prompt", "x"), "row 2, column references: attachment 1 belongs to another user"),
        (b'a,b\n1,"x', ("--prompt", "x"), "row 2, column b: has a quote that is not closed"),
        (b"a,A\n1,2", ("--prompt", "x"), "row 1, column 2: 'A' is named twice"),
        (b"a\n" + b"1\n" * 1001, ("--prompt", "x"), "stages: 1001 exceed the maximum of 1000"),
        (b"a\n1", ("--prompt", "x", "--set", "quantity"), "--set: 'quantity' must be NAME=VALUE, such as quantity=2"),
        (b"a\n1", ("--prompt", "x", "--set", "prompt=y"), "--set: 'prompt' is given twice; keep one of them"),
        (b"a\n1", ("--prompt", "x", "--set", "rows=5"), "rows: cannot be set for a table, because its rows are the"),
        (b"a\n1", ("--prompt", "x", "--set", "Rows=[]"), "Rows: cannot be set for a table, because its rows are"),
        (b"a\n1", ("--prompt", "x", "--set", "variables=a"), "variables: cannot be set for a table, whose columns are"),
        (b"a\n1", ("--prompt", "x", "--set", "jobType=storybook"), "jobType: cannot be set for a table, which is"),
        (b"a\n1", ("--prompt", "x", "--set", "job_type=template"), "job_type: cannot be set for a table, which is"),
        (b"a\n1", ("--prompt", "x", "--set", "userId=me"), "user_id: 'me' is not a UUID"),
        (b"PK\x03\x04", ("--prompt", "x"), "document: is a spreadsheet's own file; save the sheet as CSV (UTF-8)"),
    ],
)
def test_a_wrong_table_is_rejected_in_one_line_and_leaves_nothing(  # noqa: PLR0917 - fixtures
    run: Run, settled: Path, photos: Path, table: bytes, arguments: tuple[str, ...], said: str
) -> None:
    (photos.parent / "rows.csv").write_bytes(table)
    assert_rejected(run, settled, said, "rows.csv", *arguments)


def test_values_for_rows_need_a_table(run: Run, settled: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    said = "--prompt: only tables (.csv or .tsv) take it; write it into the document"
    assert_rejected(run, settled, said, "order.json", "--prompt", "x")


def test_pictures_are_given_along_with_a_template_in_yaml(run: Run, settled: Path, photos: Path) -> None:
    document = {"prompt": "A {colour} lamp", "rows": [{"colour": "red", "reference": ["a.jpg"]}, {"colour": "green"}]}
    (photos.parent / "order.yaml").write_text(json.dumps(document))
    ended = run("submit", "order.yaml", "--reference-dir", photos, "--json")
    assert ended.status == 0, ended
    [red, green] = stored(settled, ended.document["job_id"]).document["rows"]
    assert (len(red["references"]), "references" in green) == (1, False)
