"""Disks that fill up and folders that refuse: nothing paid for is lost, nothing is paid for twice."""

import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain.errors import RecordsUnavailable, StorageRefused
from darkroom.domain.progress import JobStatus
from darkroom.records.sqlite import SqliteRecords
from darkroom.storage.files import FileStorage
from tests.support.stacks.workflow import running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


def failing_writes(
    monkeypatch: pytest.MonkeyPatch, number: int, folder: str, times: int, work_first: bool = False
) -> Callable[[], int]:
    """Make writes below a folder fail so many times with an error of the operating system."""
    real, left = FileStorage._write, [times]

    def write(path: Path, data: bytes) -> None:
        if folder in str(path) and left[0] > 0:
            left[0] -= 1
            if work_first:
                real(path, data)
            raise OSError(number, os.strerror(number))
        real(path, data)

    monkeypatch.setattr(FileStorage, "_write", staticmethod(write))
    return lambda: times - left[0]


@pytest.mark.parametrize("folder", ["/staging/", "/generated-images/"])
@pytest.mark.parametrize("work_first", [False, True], ids=["not written", "written, then reported as failed"])
async def test_a_full_disk_delays_pictures_and_no_call_is_made_twice(
    folder: str, work_first: bool, skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failing_writes(monkeypatch, errno.ENOSPC, folder, times=3, work_first=work_first)
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        receipt = await stack.client.result(await stack.order(4))
        assert failed() == 3
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 4)
        assert stack.provider.total_calls == 4
        await stack.check_invariants()


async def test_while_staging_fails_no_further_call_is_paid_for(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failing_writes(monkeypatch, errno.ENOSPC, "/staging/", times=6)
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        receipt = await stack.client.result(await stack.order(3))
        assert failed() == 6
        assert stack.provider.calls == {(0, n): 1 for n in range(3)}
        assert receipt.delivered == 3


async def test_a_folder_without_permission_stops_the_job_and_keeps_the_picture_for_a_restart(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_writes(monkeypatch, errno.EACCES, "/generated-images/", times=1)
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.order(2)
        receipt = await stack.client.result(job_id)
        assert receipt.status is JobStatus.FAILED
        assert "permissions" in (receipt.error_message or "")
        assert await stack.parts.storage.keys(f"staging/{job_id}/")
        await stack.client.restart(job_id)
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)
        assert stack.provider.calls == {(0, 0): 1, (0, 1): 1}
        await stack.check_invariants()


async def test_records_that_fail_after_the_commit_charge_once(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [0]

    def losing(real: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def settle(*args: object) -> object:
            result = await real(*args)
            if lost[0] < 3:
                lost[0] += 1
                raise RecordsUnavailable("the answer was lost")
            return result

        return settle

    monkeypatch.setattr(SqliteRecords, "settle", losing(SqliteRecords.settle))
    monkeypatch.setattr(SqliteRecords, "settle_group", losing(SqliteRecords.settle_group))
    async with running_stack(skipping_client, home) as stack:
        receipt = await stack.client.result(await stack.order(3))
        assert lost[0] == 3
        assert (receipt.delivered, receipt.total.charged) == (3, 60)
        await stack.check_invariants()


async def test_a_balance_emptied_meanwhile_stops_the_job_and_a_restart_uses_the_picture(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=1, opening_balance=60) as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(3)
        await stack.provider.until_calls(1)
        assert stack.user_id is not None
        # Somebody else's system takes the money past our holds, and says so in the journal.
        await stack.parts.records.grant(stack.user_id, -45, "another system")
        stack.provider.gate.set()
        receipt = await stack.client.result(job_id)
        assert receipt.status is JobStatus.FAILED
        assert receipt.error_message == "insufficient credits: need 20, balance 15"
        assert receipt.delivered == 0
        await stack.parts.records.grant(stack.user_id, 100, "top up")
        await stack.client.restart(job_id)
        receipt = await stack.client.result(job_id)
        assert (receipt.delivered, receipt.total.charged) == (3, 60)
        assert stack.provider.calls[0, 0] == 1
        await stack.check_invariants()


@pytest.mark.parametrize("key", ["staging/one", "staging/one/two"])
async def test_a_file_where_a_folder_belongs_is_refused_and_not_retried_for_ever(tmp_path: Path, key: str) -> None:
    (tmp_path / "staging").write_text("in the way", "utf-8")
    with pytest.raises(StorageRefused, match="staging"):
        await FileStorage(tmp_path).put(key, b"picture", "image/png")
