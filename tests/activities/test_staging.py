"""Where paid bytes wait: in storage, or beside the worker while storage does not take them."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.testing import ActivityEnvironment

from activities.staging import Staging
from darkroom.domain.errors import StorageRefused, StorageUnavailable
from darkroom.domain.images import (
    ImageKey,
)
from darkroom.storage.files import FileStorage
from tests.support.fakes.scripted import PICTURE
from tests.support.fakes.storage import Away, RefusingSome, Unusable
from tests.support.until import until


async def test_what_a_worker_could_not_stage_is_staged_when_it_starts_again(tmp_path: Path) -> None:
    key, call_id = ImageKey(job_id=uuid4(), stage_index=0, ordinal=3), uuid4()
    beside, storage = FileStorage(tmp_path / "unstaged"), RefusingSome(tmp_path / "files")
    storage.refused = key.job_id
    with pytest.raises(StorageRefused):
        await Staging(storage, beside).put(key, call_id, PICTURE)
    storage.refused = None
    again = Staging(storage, beside)
    assert await again.stage_what_was_kept()
    assert await storage.get(key.staging(call_id)) == PICTURE
    assert await beside.keys("staging/") == []


async def test_a_worker_whose_own_folder_is_closed_works_all_the_same(tmp_path: Path) -> None:
    key, call_id = ImageKey(job_id=uuid4(), stage_index=0, ordinal=3), uuid4()
    storage = RefusingSome(tmp_path / "files")
    staging = Staging(storage, Unusable(tmp_path / "unstaged"))
    assert await staging.stage_what_was_kept()
    assert await staging.find(key, [call_id]) is None
    storage.refused = key.job_id
    with pytest.raises(StorageRefused, match="limit of the bucket"):
        await staging.put(key, call_id, PICTURE)
    storage.refused = None
    assert await staging.find(key, [call_id]) == (call_id, PICTURE)
    assert await storage.get(key.staging(call_id)) == PICTURE


async def test_bytes_are_looked_for_under_every_call_then_where_version_01_kept_them(tmp_path: Path) -> None:
    key, calls = ImageKey(job_id=uuid4(), stage_index=0, ordinal=3), [uuid4(), uuid4()]
    storage = FileStorage(tmp_path / "files")
    staging = Staging(storage, FileStorage(tmp_path / "unstaged"))
    assert await staging.find(key, calls) is None
    await storage.put(key.staging(None), b"old", "image/png")
    assert await staging.find(key, calls) == (None, b"old")
    assert await staging.calls_with_bytes(key.job_id, {key: calls}) == {key: calls[0]}
    await staging.put(key, calls[1], b"new")
    assert await staging.find(key, calls) == (calls[1], b"new")
    assert await staging.calls_with_bytes(key.job_id, {key: calls}) == {key: calls[1]}
    await staging.drop([(key, call_id) for call_id in (*calls, None)])
    assert await storage.keys("staging/") == []


async def test_a_worker_that_stops_ends_though_nothing_takes_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.staging.LONGEST_STOP", 0.5)
    storage, beside = Away(tmp_path / "files"), Away(tmp_path / "unstaged")
    key, stopping = ImageKey(job_id=uuid4(), stage_index=0, ordinal=0), ActivityEnvironment()
    putting = asyncio.create_task(_started(stopping, Staging(storage, beside).put, key, uuid4(), PICTURE))
    await until(partial(_is_true, lambda: len(beside.tries) > 0), "the worker's own folder to be tried")
    stopping.worker_shutdown()
    with pytest.raises(StorageUnavailable):
        await asyncio.wait_for(putting, 10)


async def test_a_picture_in_memory_goes_to_the_workers_folder_as_soon_as_that_takes_it(tmp_path: Path) -> None:
    storage, beside = Away(tmp_path / "files"), Away(tmp_path / "unstaged")
    key, call_id, stopping = ImageKey(job_id=uuid4(), stage_index=0, ordinal=0), uuid4(), ActivityEnvironment()
    staging = Staging(storage, beside)
    putting = asyncio.create_task(_started(stopping, staging.put, key, call_id, PICTURE))
    await until(partial(_is_true, lambda: len(beside.tries) > 0), "the worker's own folder to be tried")
    assert not await staging.is_kept(key, call_id)
    beside.away = False
    stopping.worker_shutdown()
    with pytest.raises(StorageUnavailable):
        await asyncio.wait_for(putting, 10)
    assert await beside.get(key.staging(call_id)) == PICTURE
    assert await staging.is_kept(key, call_id)


async def test_a_worker_that_stops_while_storage_is_away_begins_no_waiting_call(tmp_path: Path) -> None:
    staging, stopping = Staging(Away(tmp_path / "files"), FileStorage(tmp_path / "unstaged")), ActivityEnvironment()
    key = ImageKey(job_id=uuid4(), stage_index=0, ordinal=0)
    putting = asyncio.create_task(_started(stopping, staging.put, key, uuid4(), PICTURE))
    await until(partial(_is_true, lambda: bool(staging._away)), "the outage to be noticed")
    waiting = asyncio.create_task(_started(stopping, staging.until_back, asyncio.Event()))
    stopping.worker_shutdown()
    for ends in (waiting, putting):
        with pytest.raises(StorageUnavailable):
            await asyncio.wait_for(ends, 10)


async def test_one_picture_that_is_never_taken_holds_up_no_other_call(tmp_path: Path) -> None:
    stuck = ImageKey(job_id=uuid4(), stage_index=0, ordinal=0)
    storage = Away(tmp_path / "files", only=str(stuck.job_id))
    staging, worker = Staging(storage, FileStorage(tmp_path / "unstaged")), ActivityEnvironment()
    putting = asyncio.create_task(_started(worker, staging.put, stuck, uuid4(), PICTURE))
    await until(partial(_is_true, lambda: bool(staging._away)), "the outage to be noticed")
    waiting = asyncio.create_task(_started(worker, staging.until_back, asyncio.Event()))
    await staging.put(ImageKey(job_id=uuid4(), stage_index=0, ordinal=0), uuid4(), PICTURE)
    await asyncio.wait_for(waiting, 5)
    await until(partial(_is_true, lambda: len(storage.tries) > 3), "the stuck picture to be tried again")
    await asyncio.wait_for(_started(worker, staging.until_back, asyncio.Event()), 5)
    storage.away = False
    await asyncio.wait_for(putting, 20)


async def test_what_waits_in_memory_or_in_the_folder_is_staged_while_the_worker_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.staging.LONGEST_RETRY", 0.05)
    monkeypatch.setattr("activities.staging.REFUSED_RETRY", 0.05)
    storage, call_id = RefusingSome(tmp_path / "files"), uuid4()
    key = ImageKey(job_id=uuid4(), stage_index=0, ordinal=3)
    storage.refused = key.job_id
    for beside in (FileStorage(tmp_path / "unstaged"), Unusable(tmp_path / "closed")):
        staging = Staging(storage, beside)
        living = asyncio.create_task(staging.keep_staging())
        storage.refused = key.job_id
        with pytest.raises(StorageRefused):
            await staging.put(key, call_id, PICTURE)
        storage.refused = None
        await until(partial(storage.exists, key.staging(call_id)), "the picture in staging")
        living.cancel()
        await storage.delete([key.staging(call_id)])


async def _is_true(condition: Callable[[], bool]) -> bool:
    return condition()


async def _started(worker: ActivityEnvironment, work: Callable[..., Awaitable[None]], *given: object) -> None:
    """Run within an activity of that worker."""
    running: Awaitable[None] = worker.run(work, *given)
    await running
