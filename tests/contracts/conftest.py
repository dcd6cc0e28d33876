"""The adapters that every contract runs over; another one is another parameter here."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from darkroom.proof.invariants import broken
from darkroom.records.sqlite import SqliteRecords
from darkroom.records.supabase import SupabaseRecords
from darkroom.storage import Storage
from darkroom.storage.files import FileStorage
from darkroom.storage.supabase import SupabaseStorage
from darkroom.supabase import open_supabase
from tests.support.records.fixture import RecordsFixture
from tests.support.records.tables import PostgresTables, SqliteTables
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project
from tests.support.supabase.storage_server import running_storage

ANY_ORDER = "test_money_machine"
"""The file that runs on tables of a deployment each time; the others do so at night."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the rest of the suite on adopted tables to the night."""
    for item in items:
        if "[described" in item.nodeid and item.path.stem != ANY_ORDER:
            item.add_marker(pytest.mark.slow)


@asynccontextmanager
async def sqlite_file(folder: Path) -> AsyncIterator[RecordsFixture]:
    path = folder / "records.db"
    records, other = SqliteRecords(path), SqliteRecords(path)
    yield RecordsFixture(records, SqliteTables(records), [other])
    await other.close()
    await records.close()


@asynccontextmanager
async def sqlite_memory(folder: Path) -> AsyncIterator[RecordsFixture]:
    records = SqliteRecords(":memory:")
    yield RecordsFixture(records, SqliteTables(records))
    await records.close()


@asynccontextmanager
async def file_storage(folder: Path) -> AsyncIterator[Storage]:
    storage = FileStorage(folder / "files")
    yield storage
    await storage.close()


@asynccontextmanager
async def supabase_storage(folder: Path) -> AsyncIterator[Storage]:
    with running_storage(folder / "supabase") as server:
        # A test that calls 260 times at once waits for a connection, of which there are 20.
        supabase = await open_supabase(server.url, server.key, timeouts=httpx.Timeout(30))
        storage = SupabaseStorage(supabase, "pictures")
        yield storage
        await storage.close()


@asynccontextmanager
async def supabase_records(project: Project, *, adopted: bool = False) -> AsyncIterator[RecordsFixture]:
    project.reset()
    records, other = [SupabaseRecords(await open_project(project)) for _ in range(2)]
    yield RecordsFixture(records, PostgresTables(project.database_uri), [other], members_of_others=adopted)
    await other.close()
    await records.close()


RecordsAdapter = Callable[[Path], AbstractAsyncContextManager[RecordsFixture]]
StorageAdapter = Callable[[Path], AbstractAsyncContextManager[Storage]]


ON_SQLITE = [
    pytest.param(sqlite_file, id="sqlite-file"),
    pytest.param(sqlite_memory, id="sqlite-memory", marks=pytest.mark.slow),  # all tests of workflows use it
]
ON_SUPABASE = pytest.param("migrated", id="supabase")
ADOPTED = [
    pytest.param("described", id="described"),
    pytest.param("variant", id="variant", marks=pytest.mark.slow),
]


@pytest.fixture(params=[*ON_SQLITE, ON_SUPABASE, *ADOPTED])
async def planted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RecordsFixture]:
    """Records that a test leaves broken, because it planted what `audit` must find."""
    adapter: RecordsAdapter | str = request.param
    opened: AbstractAsyncContextManager[RecordsFixture]
    if isinstance(adapter, str):
        if adapter != "migrated" and request.node.get_closest_marker("own_tables"):
            pytest.skip("about tables that Darkroom made")
        opened = supabase_records(request.getfixturevalue(adapter), adopted=adapter != "migrated")
    else:
        opened = adapter(tmp_path)
    async with opened as fixture:
        yield fixture


@pytest.fixture
async def fixture(planted: RecordsFixture) -> AsyncIterator[RecordsFixture]:
    """Records whose invariants hold after every test, whatever the test was about."""
    yield planted
    assert broken(await planted.dump()) == []
    assert list(await planted.records.audit()) == []


@pytest.fixture(
    params=[
        pytest.param(file_storage, id="files"),
        pytest.param(supabase_storage, id="supabase"),
    ]
)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    adapter: StorageAdapter = request.param
    async with adapter(tmp_path) as opened:
        yield opened
