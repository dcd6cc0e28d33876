"""`migrations`: the SQL files, as they are, and never over other ones."""

from pathlib import Path

from tests.cli.conftest import Run

MIGRATIONS = sorted((Path(__file__).parents[2] / "supabase" / "migrations").glob("*.sql"))


def test_the_migrations_are_written_as_they_are(run: Run, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "supabase" / "migrations"
    ended = run("migrations", folder)
    assert (ended.status, ended.out, ended.err) == (0, f"{len(MIGRATIONS)} migrations written to {folder}\n", "")
    written = sorted(folder.iterdir())
    assert [file.name for file in written] == [file.name for file in MIGRATIONS]
    assert [file.read_bytes() for file in written] == [file.read_bytes() for file in MIGRATIONS]
    assert not home.exists()


def test_what_is_there_already_is_left_alone(run: Run, home: Path, tmp_path: Path) -> None:
    run("migrations", tmp_path)
    (tmp_path / MIGRATIONS[3].name).unlink()
    (tmp_path / "20990101000000_mine.sql").write_text("select 1", "utf-8")
    ended = run("migrations", tmp_path, "--json")
    assert ended.document == {"folder": str(tmp_path), "written": 1, "skipped": len(MIGRATIONS) - 1}


def test_a_file_with_other_content_stops_all_of_it(run: Run, home: Path, tmp_path: Path) -> None:
    changed = tmp_path / MIGRATIONS[-1].name
    changed.write_text("select 1", "utf-8")
    ended = run("migrations", tmp_path)
    assert (ended.status, ended.error) == (2, f"DIR: {changed} has different content; give another folder")
    assert [file for file in tmp_path.iterdir() if file.is_file()] == [changed]
    assert changed.read_text("utf-8") == "select 1"


def test_a_folder_that_cannot_be_made_is_one_line(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run("migrations", tmp_path / "file")
    assert (ended.status, ended.error) == (2, f"DIR: {tmp_path / 'file'} cannot be written: File exists")
