"""Other engines are measured where they are installed, and named with the reason where they are not."""

import re
import tomllib
from pathlib import Path

import pytest

from benchmarks.figures import Figure
from benchmarks.measurements import Bench
from benchmarks.peers.measuring import ENGINES, Engine, Measured, NotHere, PeerRun, peers, running
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
    measured = Measured(ENGINES[0], [PeerRun(rate=rate, worker_ms=1, server_ms=1) for rate in (9.0, 1.0, 5.0)])
    assert measured.peer(lambda run: run.rate).value == 5.0


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_all_engines_do_the_same_work(tmp_path: Path) -> None:
    temporal_binary()
    figures = {figure.name: figure for figure in await peers(Bench(tmp_path, quick=True))}
    speed = figures["peers-throughput"]
    assert [peer.name for peer in speed.peers] == ["Celery", "DBOS on SQLite", "DBOS on PostgreSQL"]
    for figure in figures.values():
        for peer in figure.peers:
            assert (peer.value is None) == peer.note.startswith("not measured: ")
    measured = [peer.value for peer in speed.peers if peer.value is not None]
    ahead: Figure | None = figures.get("peers-ahead")
    assert (ahead is not None) == bool(measured)
    assert ahead is None or ahead.ratio == pytest.approx(speed.value / max(measured))


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
