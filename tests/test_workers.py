"""Workers of one machine know which of them live."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from darkroom.workers import REMEMBERED, LocalWorkers

HOLDS = (
    "import sys, signal, pathlib; from darkroom.workers import LocalWorkers\n"
    "with LocalWorkers(pathlib.Path(sys.argv[1])).joined() as worker:\n"
    "    print(worker, flush=True); signal.pause()"
)


def test_a_worker_is_dead_once_its_process_has_ended_and_not_while_it_stands_still(tmp_path: Path) -> None:
    workers = LocalWorkers(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = process.stdout.readline().strip()
        assert not workers.is_dead(worker)
        process.send_signal(signal.SIGSTOP)
        assert not workers.is_dead(worker)
        process.kill()
        process.wait()
        assert workers.is_dead(worker)


def test_a_worker_that_stopped_is_dead_and_one_from_elsewhere_is_not(tmp_path: Path) -> None:
    workers = LocalWorkers(tmp_path)
    with workers.joined() as worker:
        assert not workers.is_dead(worker)
        with workers.joined() as other:
            assert other != worker
        assert workers.is_dead(other)
        assert not workers.is_dead(worker)
    assert workers.is_dead(worker)
    assert not workers.is_dead("0" * 32)
    assert not workers.is_dead(None)


def test_a_worker_that_was_killed_may_hold_work_until_it_is_given_back(tmp_path: Path) -> None:
    workers = LocalWorkers(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = process.stdout.readline().strip()
        with workers.joined():
            assert workers.crashed() == set()
            process.kill()
            process.wait()
            assert workers.crashed() == {worker}
    # The one in this process stopped as it should.
    assert workers.crashed() == {worker}
    workers.forget({worker})
    assert workers.crashed() == set()
    assert workers.is_dead(worker)


async def test_one_process_at_a_time_gives_work_back(tmp_path: Path) -> None:
    workers = LocalWorkers(tmp_path)
    async with workers.alone():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), workers.alone():
                raise AssertionError
    async with asyncio.timeout(5), workers.alone():
        pass


def test_files_of_workers_that_died_long_ago_go(tmp_path: Path) -> None:
    workers = LocalWorkers(tmp_path)
    with workers.joined() as living:
        with workers.joined() as dead:
            pass
        for file in tmp_path.iterdir():
            os.utime(file, (0, file.stat().st_mtime - REMEMBERED - 1))
        with workers.joined():
            assert (tmp_path / f"{living}.lock").exists()
            assert not (tmp_path / f"{dead}.lock").exists()


def test_a_folder_that_cannot_be_made_leaves_the_worker_unknown(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with LocalWorkers(tmp_path / "file").joined() as worker:
        assert worker is None


def test_workers_that_start_together_take_each_others_tidying_for_no_error(tmp_path: Path) -> None:
    # As a file looks that another worker has just removed: listed, and gone.
    (tmp_path / f"{'0' * 32}.lock").symlink_to(tmp_path / "gone")
    with LocalWorkers(tmp_path).joined() as worker:
        assert worker is not None
