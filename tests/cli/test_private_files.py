"""What Darkroom writes is its user's alone, and stays in the folder that it was given."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkroom.client.connection import runtime
from darkroom.domain.errors import ExportRejected
from darkroom.exports.targets import Folder
from darkroom.pictures import digest
from darkroom.records.sqlite import SqliteRecords
from darkroom.settings import Settings, make_home, read_settings


@pytest.fixture(autouse=True)
def _everybody_may_read() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_home_is_its_users_alone_and_a_shared_folder_is_left_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    make_home(Settings(_env_file=None, darkroom_home=home))
    assert _mode(home) == 0o700
    old, shared = tmp_path / ".darkroom", tmp_path / "shared"
    for folder in (old, shared):
        folder.mkdir(mode=0o755)
        make_home(Settings(_env_file=None, darkroom_home=folder))
    assert (_mode(old), _mode(shared)) == (0o700, 0o755)


@pytest.mark.parametrize("there", [False, True])
async def test_the_records_are_their_users_alone(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "records.db"
    if there:
        path.touch(0o644)
    records = SqliteRecords(path)
    await records.unfinished_jobs()
    modes = {name: _mode(tmp_path / name) for name in os.listdir(tmp_path)}  # noqa: PTH208 - in a coroutine
    await records.close()
    assert modes == dict.fromkeys(modes, 0o600)


async def test_a_copy_follows_no_link_out_of_its_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    outside.write_bytes(b"mine")
    target, picture = folder / "a" / "1.webp", digest(b"picture")
    (target.parent / ".1.webp.part").symlink_to(outside)
    await Folder(folder).write("a/1.webp", b"picture", picture)
    assert (target.read_bytes(), outside.read_bytes()) == (b"picture", b"mine")
    for link in (outside, tmp_path / "nothing there"):
        target.unlink()
        target.symlink_to(link)
        with pytest.raises(ExportRejected, match="is a link"):
            await Folder(folder).holds("a/1.webp", 7, picture)
    (folder / "b").symlink_to(tmp_path)
    with pytest.raises(ExportRejected, match="is a link"):
        await Folder(folder).write("b/outside", b"picture", picture)
    assert (outside.read_bytes(), (tmp_path / "nothing there").exists()) == (b"mine", False)


def test_metrics_are_served_to_this_machine_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().metrics_address is None
    monkeypatch.setenv("METRICS_PORT", "9464")
    assert read_settings().metrics_address == "127.0.0.1:9464"
    for host, address in (("0.0.0.0", "0.0.0.0:9464"), ("::", "[::]:9464")):
        monkeypatch.setenv("METRICS_HOST", host)
        assert read_settings().metrics_address == address
    assert runtime(None) is runtime(None)
