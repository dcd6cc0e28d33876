"""The adapters that every contract runs over; another one is another parameter here."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from darkroom.records.sqlite import SqliteRecords
from darkroom.storage import Storage
from darkroom.storage.files import FileStorage
from tests.contracts.invariants import broken
from tests.contracts.scene import Scene
from tests.contracts.tables import SqliteTables


@asynccontextmanager
async def sqlite_file(folder: Path) -> AsyncIterator[Scene]:
    path = folder / "records.db"
    records, other = SqliteRecords(path), SqliteRecords(path)
    yield Scene(records, SqliteTables(records), [other])
    await other.close()
    await records.close()


@asynccontextmanager
async def sqlite_memory(folder: Path) -> AsyncIterator[Scene]:
    records = SqliteRecords(":memory:")
    yield Scene(records, SqliteTables(records))
    await records.close()


@asynccontextmanager
async def file_storage(folder: Path) -> AsyncIterator[Storage]:
    storage = FileStorage(folder / "files")
    yield storage
    await storage.close()


RecordsAdapter = Callable[[Path], AbstractAsyncContextManager[Scene]]
StorageAdapter = Callable[[Path], AbstractAsyncContextManager[Storage]]


@pytest.fixture(params=[pytest.param(sqlite_file, id="sqlite-file"), pytest.param(sqlite_memory, id="sqlite-memory")])
async def planted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """Records that a test leaves broken, because it planted what `audit` must find."""
    adapter: RecordsAdapter = request.param
    async with adapter(tmp_path) as scene:
        yield scene


@pytest.fixture
async def scene(planted: Scene) -> AsyncIterator[Scene]:
    """Records whose invariants hold after every test, whatever the test was about."""
    yield planted
    assert broken(await planted.dump()) == []
    assert list(await planted.records.audit()) == []


@pytest.fixture(params=[pytest.param(file_storage, id="files")])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    adapter: StorageAdapter = request.param
    async with adapter(tmp_path) as opened:
        yield opened
