"""Small files that go together: each gets its own answer, and none is promised before its folder is synced."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest

from darkroom.domain.errors import StorageRefused, StorageUnavailable
from darkroom.storage import file_groups, files
from darkroom.storage.files import SMALL, FileStorage

PATIENCE = 10.0


class Syncs:
    """The syncs of folders, as they happen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refuse: str | None = None) -> None:
        self.safe: list[set[Path]] = []
        """What lay in a folder when its sync began, of each sync that has ended."""
        self.begun, self.open = asyncio.Event(), threading.Event()
        self.open.set()
        real: Callable[[Path], None] = file_groups.sync_folder
        loop = asyncio.get_running_loop()

        def sync(folder: Path) -> None:
            loop.call_soon_threadsafe(self.begun.set)
            assert self.open.wait(PATIENCE)
            if refuse is not None and folder.name == refuse:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            there = set(folder.iterdir())
            real(folder)
            self.safe.append(there)

        monkeypatch.setattr(file_groups, "sync_folder", sync)


async def test_files_that_come_together_share_the_sync_of_their_folder_and_none_is_promised_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch)
    storage = FileStorage(tmp_path)

    async def put(name: str) -> None:
        await storage.put(name, name.encode(), "image/png")
        assert any(tmp_path / name in there for there in syncs.safe)

    names = [f"staging/job/{n}" for n in range(40)]
    await asyncio.gather(*(put(name) for name in names))
    assert len(syncs.safe) == 40 / file_groups.MOST
    assert await asyncio.gather(*(storage.get(name) for name in names)) == [name.encode() for name in names]
    assert await storage.keys("staging/job/") == sorted(names)


async def test_a_file_is_not_promised_while_its_folder_is_being_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch)
    syncs.open.clear()
    put = asyncio.create_task(FileStorage(tmp_path).put("staging/job/0-0", b"picture", "image/png"))
    try:
        await asyncio.wait_for(syncs.begun.wait(), PATIENCE)
        await asyncio.wait({put}, timeout=0.1)
        assert not put.done()
    finally:
        syncs.open.set()
    await put


async def test_one_that_is_refused_fails_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder belongs", "utf-8")
    storage = FileStorage(tmp_path)
    keys = ["staging/job/0-0", "blocked/0-1", "staging/job/0-2"]
    ended = await asyncio.gather(*(storage.put(key, b"picture", "image/png") for key in keys), return_exceptions=True)
    assert [type(end) for end in ended] == [type(None), StorageRefused, type(None)]
    assert await storage.keys("staging/job/") == ["staging/job/0-0", "staging/job/0-2"]


async def test_a_folder_that_cannot_be_synced_fails_its_own_files_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Syncs(monkeypatch, refuse="broken")
    storage = FileStorage(tmp_path)
    keys = ["staging/good/0", "staging/broken/0", "staging/good/1", "staging/broken/1"]
    ended = await asyncio.gather(*(storage.put(key, b"picture", "image/png") for key in keys), return_exceptions=True)
    assert [type(end) for end in ended] == [type(None), StorageUnavailable] * 2


@pytest.mark.parametrize("others", [1, file_groups.MOST])
async def test_a_file_that_is_stuck_does_not_hold_up_those_that_come_after_it(
    others: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on, real = asyncio.Event(), threading.Event(), FileStorage._write
    loop = asyncio.get_running_loop()

    def write(path: Path, data: bytes) -> None:
        if path.name == "stuck":
            loop.call_soon_threadsafe(reached.set)
            assert go_on.wait(PATIENCE)
        real(path, data)

    monkeypatch.setattr(FileStorage, "_write", staticmethod(write))
    storage = FileStorage(tmp_path)
    stuck = asyncio.create_task(storage.put("staging/stuck", b"picture", "image/png"))
    try:
        await asyncio.wait_for(reached.wait(), PATIENCE)
        puts = [storage.put(f"staging/{n}", b"picture", "image/png") for n in range(others)]
        await asyncio.wait_for(asyncio.gather(*puts), PATIENCE / 2)
        await asyncio.wait_for(storage.put("staging/large", bytes(SMALL + 1), "image/png"), PATIENCE / 2)
        assert await asyncio.wait_for(storage.get("staging/large"), PATIENCE / 2) == bytes(SMALL + 1)
        assert not stuck.done()
    finally:
        go_on.set()
    await stuck


async def test_a_part_that_was_taken_for_abandoned_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files._lock
    cleaned: list[Path] = []

    def lock(handle: int) -> None:
        if not cleaned:
            cleaned.extend((tmp_path / "staging" / "job").iterdir())
            FileStorage(tmp_path)._remove(cleaned)
        real(handle)

    monkeypatch.setattr(files, "_lock", lock)
    storage = FileStorage(tmp_path)
    await storage.put("staging/job/0-0", b"picture", "image/png")
    assert len(cleaned) == 1
    assert await storage.get("staging/job/0-0") == b"picture"


async def test_half_a_file_is_not_taken_for_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class BadSector(FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read((size or 0) // 2)

        def readall(self) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    storage = FileStorage(tmp_path)
    await storage.put("staging/one", b"picture", "image/png")
    monkeypatch.setattr(Path, "open", lambda path, *_args, **_options: BadSector(path))
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        await storage.get("staging/one")


async def test_a_large_file_that_is_deleted_while_it_is_looked_at_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files._read_small

    def look(path: Path) -> bytes | None:
        try:
            return real(path)
        finally:
            path.unlink()

    storage = FileStorage(tmp_path)
    await storage.put("staging/large", bytes(SMALL + 1), "image/png")
    monkeypatch.setattr(files, "_read_small", look)
    assert await storage.get("staging/large") is None


async def test_a_visit_that_fails_as_a_whole_is_told_to_all_and_the_next_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_calls: object) -> None:
        raise MemoryError

    storage = FileStorage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(file_groups, "_done", fail)
        puts = [storage.put(f"staging/{n}", b"picture", "image/png") for n in range(3)]
        ended = await asyncio.wait_for(asyncio.gather(*puts, return_exceptions=True), PATIENCE)
    assert [type(end) for end in ended] == [MemoryError] * 3
    await asyncio.wait_for(storage.put("staging/3", b"picture", "image/png"), PATIENCE)


async def test_a_file_that_nobody_waits_for_any_more_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch)
    syncs.open.clear()
    storage = FileStorage(tmp_path)
    first = asyncio.create_task(storage.put("staging/first", b"picture", "image/png"))
    try:
        await asyncio.wait_for(syncs.begun.wait(), PATIENCE)
        second = asyncio.create_task(storage.put("staging/second", b"picture", "image/png"))
        await asyncio.sleep(0)
        second.cancel()
        third = asyncio.create_task(storage.put("staging/third", b"picture", "image/png"))
        await asyncio.sleep(0)
    finally:
        syncs.open.set()
    await asyncio.gather(first, third)
    assert await storage.keys("staging/") == ["staging/first", "staging/third"]


def test_several_event_loops_share_a_storage(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)

    async def put(name: str) -> None:
        await asyncio.gather(*(storage.put(f"{name}/{n}", b"picture", "image/png") for n in range(20)))

    threads = [threading.Thread(target=asyncio.run, args=(put(f"loop-{n}"),), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    asyncio.run(put("afterwards"))
    assert {folder.name: len(list(folder.iterdir())) for folder in tmp_path.iterdir()} == {
        **{f"loop-{n}": 20 for n in range(3)},
        "afterwards": 20,
    }


@pytest.mark.parametrize("size", [0, 1, SMALL, SMALL + 1, 3 * SMALL])
async def test_every_byte_comes_back(tmp_path: Path, size: int) -> None:
    storage, data = FileStorage(tmp_path), os.urandom(size)
    await storage.put("staging/one", data, "image/png")
    assert await storage.get("staging/one") == data
    assert await storage.get("staging/other") is None
