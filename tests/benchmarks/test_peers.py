"""Other engines are measured where they are installed, and named with the reason where they are not."""

import contextlib
import re
import sqlite3
import tomllib
from pathlib import Path

import pytest

from benchmarks.measurements import Bench
from benchmarks.peers.engines import ENGINES, Engine, Measured, NotHere, PeerRun, running
from benchmarks.peers.measuring import peers
from benchmarks.peers.steps import RealSteps, charged
from tests.support.programs import temporal_binary

ROOT = Path(__file__).parents[2]


async def test_an_engine_that_is_not_installed_is_not_here_with_the_reason(tmp_path: Path) -> None:
    engine = Engine("Another", "benchmarks.peers.no_such_engine", "none")
    with pytest.raises(NotHere, match=r"No module named benchmarks\.peers\.no_such_engine"):
        async with running(engine, tmp_path / "engine"):
            pass


def test_an_engine_without_a_run_shows_why_and_no_number() -> None:
    measured = Measured(ENGINES[0], fault="no broker")
    peer = measured.peer(lambda run: run.rate)
    assert (peer.value, peer.note) == (None, "not measured: no broker")


def test_an_engine_that_fails_later_keeps_what_was_measured() -> None:
    runs = [PeerRun(rate=rate, worker_ms=1, server_ms=1) for rate in (9.0, 1.0, 5.0)]
    measured = Measured(ENGINES[0], runs=runs, fault="no disk")
    peer = measured.peer(lambda run: run.rate)
    assert peer.value == 5.0
    assert peer.note.endswith(" (only 3 runs: no disk)")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_all_engines_do_the_same_work(tmp_path: Path) -> None:
    temporal_binary()
    figures = {figure.name: figure for figure in await peers(Bench(tmp_path, quick=True))}
    names = [engine.name for engine in ENGINES]
    for name in ("peers-throughput", "cpu-both-peers", "peers-work-throughput", "peers-work-cpu"):
        peers_of = figures[name].peers
        assert [peer.name for peer in peers_of] == names
        for peer in peers_of:
            assert (peer.value is None) == peer.note.startswith("not measured: ")
            assert peer.value is None or peer.value > 0
    working = figures["peers-work-throughput"]
    assert working.bare is not None
    assert working.bare > 0
    assert figures["peers-exact"].value == 1
    measured = [peer.value for peer in working.peers if peer.value is not None]
    assert (working.asked is None) == (not measured)
    assert working.ratio == (pytest.approx(working.value / max(measured)) if measured else None)


def test_steps_that_run_twice_keep_one_picture_and_charge_once(tmp_path: Path) -> None:
    steps = RealSteps(tmp_path)
    keys = [f"job-1/0/{ordinal}" for ordinal in range(3)]
    for key in keys[:2]:
        for _ in range(2):
            steps.generate(key, 0)
            steps.upload(key)
            steps.attach(key)
            steps.credit(key)
    steps.generate(keys[2], 2)
    assert charged(tmp_path, "job-1") == 2
    assert charged(tmp_path, "job") == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "records.db")) as db:
        assert db.execute("select count(*), sum(amount) from journal").fetchone() == (2, -40)
    (tmp_path / "job-1-0-0.webp").unlink()
    assert charged(tmp_path, "job-1") == 1


def test_the_engines_packages_are_pinned_by_hash_and_apart_from_ours() -> None:
    text = (ROOT / "benchmarks/requirements.txt").read_text("utf-8")
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))
    ours = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {re.split(r"[^\w-]", name)[0] for name in extras["bench"]}
    assert named <= pinned.keys(), "run `make lock`"
    assert not pinned.keys() & ours.keys(), "run `make lock`"
    assert len(re.findall(r"==[^\n]+\\\n    --hash=sha256:", text)) == len(pinned)
    assert "://" not in text
