"""A full disk is named in one plain sentence, whoever meets it first."""

import errno
import os
import sqlite3
from pathlib import Path
from typing import NoReturn

import pytest

from darkroom.domain.errors import RecordsUnavailable, StorageUnavailable
from darkroom.records.sqlite.database import Database
from darkroom.storage.files import FileStorage

SENTENCE = "The disk that holds {} is full: nothing more can be written; make room on it, and work continues by itself"


async def test_records_that_have_no_room_say_so(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    database = Database(path)

    def fill(db: sqlite3.Connection) -> None:
        # SQLite's own way to have no room.
        pages = db.execute("pragma page_count").fetchone()[0]
        db.execute(f"pragma max_page_count = {pages + 1}")
        db.execute("create table filled as select randomblob(1000000) as data")

    with pytest.raises(RecordsUnavailable) as met:
        await database.write(fill)
    assert str(met.value) == SENTENCE.format(path)
    await database.close()


async def test_files_that_have_no_room_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", no_room)
    storage = FileStorage(tmp_path / "files")
    with pytest.raises(StorageUnavailable) as met:
        await storage.put("staging/a", b"data", "image/png")
    assert str(met.value) == SENTENCE.format(tmp_path / "files")
