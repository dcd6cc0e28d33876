"""`submit --size` and `--format`: for all stages that say nothing themselves."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from darkroom.orders import read_order
from tests.cli.conftest import Run

ORDER = {"stages": [{"prompt": "a lake", "quantity": 1}, {"prompt": "a sea", "quantity": 1, "format": "png"}]}
TABLE = "product,image_size\nchair,\nlamp,4K\n"


@pytest.fixture
def home(settled: Path) -> Path:
    return settled


def looks(run: Run, order: Path, *arguments: str) -> list[tuple[str, str | None]]:
    """How the stages of an order are to look that was submitted, as the worker will read it."""
    ended = run("submit", order, *arguments, "--json")
    assert ended.status == 0, ended.err
    with closing(sqlite3.connect(order.parent / "records.db")) as db:
        [kept] = db.execute(
            "select job_input_data from quel_production_jobs where job_id = ?", (ended.document["job_id"],)
        ).fetchone()
    return [(stage.image_size, stage.format) for stage in read_order(json.loads(kept)).order.stages]


def test_they_hold_for_stages_that_name_none(run: Run, home: Path) -> None:
    order = home / "order.json"
    order.write_text(json.dumps(ORDER), "utf-8")
    assert looks(run, order, "--size", "2k", "--format", "jpg") == [("2K", "jpeg"), ("2K", "png")]
    order.write_text(json.dumps({**ORDER, "imageSize": "4K"}), "utf-8")
    assert [size for size, _ in looks(run, order)] == ["4K", "4K"]
    assert [size for size, _ in looks(run, order, "--size", "1K")] == ["1K", "1K"]


def test_they_hold_for_the_rows_of_a_table(run: Run, home: Path) -> None:
    table = home / "rows.csv"
    table.write_text(TABLE, "utf-8")
    found = looks(run, table, "--prompt", "A {product}", "--size", "2K", "--format", "avif")
    assert found == [("2K", "avif"), ("4K", "avif")]


@pytest.mark.parametrize(("option", "value"), [("--size", "8K"), ("--format", "gif")])
def test_others_are_refused(run: Run, home: Path, option: str, value: str) -> None:
    order = home / "order.json"
    order.write_text(json.dumps(ORDER), "utf-8")
    ended = run("submit", order, option, value)
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert value in ended.err
    assert run("list", "--json").document == []
