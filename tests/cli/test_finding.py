"""`submit --name`, `rename`, and `list` narrowed by words, state and day."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def order(settled: Path) -> Path:
    path = settled.parent / "order.yaml"
    path.write_text("prompt: a quiet lake\nquantity: 1\nname: From the file\n", "utf-8")
    return path


def submitted(run: Run, *arguments: str | Path) -> str:
    ended = run("submit", *arguments, "--json")
    assert ended.status == 0, ended.err
    job_id: str = ended.document["job_id"]
    return job_id


def test_a_name_comes_from_the_file_or_from_the_command_line(run: Run, order: Path) -> None:
    in_file, given = submitted(run, order), submitted(run, order, "--name", "Red chairs")
    listed = {job["job_id"]: job["name"] for job in run("list", "--json").document}
    assert listed == {in_file: "From the file", given: "Red chairs"}
    assert run("status", given, "--json").document["name"] == "Red chairs"
    shown = run("list").out
    assert "  Red chairs" in shown
    assert run("jobs").out == shown


def test_a_job_is_renamed_and_found(run: Run, order: Path) -> None:
    job_id = submitted(run, order)
    renamed = run("rename", job_id[:8], "Blue chairs")
    assert renamed.status == 0
    assert "is called Blue chairs" in renamed.out
    for search in ("BLUE", "chairs blue", job_id[:7]):
        assert [job["job_id"] for job in run("list", "--search", search, "--json").document] == [job_id]
    assert run("list", "--search", "red", "--json").document == []
    assert "no jobs match" in run("list", "--search", "red").out
    assert run("rename", job_id, "", "--json").document == {"job_id": job_id, "name": None}


def test_lists_are_narrowed_by_several_states_and_a_day(run: Run, order: Path) -> None:
    job_id = submitted(run, order)
    found = run("list", "--status", "pending", "--status", "short", "--json")
    assert [job["job_id"] for job in found.document] == [job_id]
    for state in ("running", "paused", "short", "failed"):
        assert run("list", "--status", state, "--json").document == []
    days = {str(datetime.now(UTC).date()), run("list", "--json").document[0]["created_at"][:10]}
    assert [job["job_id"] for day in sorted(days) for job in run("list", "--day", day, "--json").document] == [job_id]
    assert run("list", "--day", "2020-01-01", "--json").document == []


def test_what_is_wrong_is_one_line_and_changes_nothing(run: Run, order: Path) -> None:
    job_id = submitted(run, order)
    for arguments, status in (
        (("rename", job_id, "two\nlines"), 2),
        (("rename", job_id, "x" * 121), 2),
        (("rename", "ffffff", "Nobody's"), 4),
        (("submit", order, "--name", "\x1b[31m"), 2),
        (("list", "--status", "melting"), 2),
        (("list", "--day", "yesterday"), 2),
        (("list", "--day", "2026-W48-5"), 2),
    ):
        ended = run(*arguments)
        assert (ended.status, bool(ended.error)) == (status, True)
    [job] = run("list", "--json").document
    assert job["name"] == "From the file"
