"""`prove` holds, turns red when a guard is off, leaves no process, and says in one line when it cannot be played."""

import asyncio
import errno
import json
import os
import re
import shlex
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from cli import prove
from cli.output import Output
from darkroom.domain.errors import ProofImpossible
from darkroom.domain.orders import JobType
from darkroom.embedded.ports import NoPort, Ports
from darkroom.proof.acts import ACTS
from darkroom.proof.breaks import BREAKS
from darkroom.proof.plain.runs import COUNTERPARTS, LEFT_OUT, play_plain
from darkroom.proof.plans import WALLETS, Plan, plans
from darkroom.proof.runs import Run, kept
from darkroom.proof.starting import Programs, ServerEnded
from tests.support.commands import ROOT, Ended, run
from tests.support.programs import temporal_binary
from tests.support.until import until

IN_WORDS = {
    "settlement-key": r"balance|charged",
    "run-fence": r"closed run|ended with completed_images",
    "staging-first": r"drawn and not delivered",
    "salvage": r"drawn and not delivered|begun and not delivered",
    "hold": r"drawn and not delivered|left over",
}
"""What must be said to be wrong when a guard is off."""


async def _prove(tmp_path: Path, *words: str, seconds: float = 400) -> Ended:
    temporal_binary()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "GEMINI_API_KEY": "real"}
    command = (sys.executable, str(ROOT / "starter.py"), "prove", "--json", *words)
    return await run(*command, environment=environment, seconds=seconds)


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def _acts(played: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The faults that were planned for a run, and those that came too late."""
    return played["plan"]["acts"], played["too_late"]


@pytest.mark.timeout(420)
async def test_three_runs_hold_and_leave_nothing_behind(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    ended = await _prove(tmp_path, "--runs", "3", "--short", "--report", str(report))
    found: dict[str, Any] = json.loads(ended.out)
    assert (ended.status, found["holds"], len(found["runs"])) == (0, True, 3), ended.err
    assert found["verdict"] in report.read_text("utf-8").replace("&#x27;", "'")
    assert [path.name for path in _files(tmp_path)] == ["report.html"]
    # On a busy machine a job may end before one of its faults comes.
    planned, too_late = (sum(len(acts) for acts in each) for each in zip(*map(_acts, found["runs"]), strict=True))
    assert too_late < planned


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("guard", BREAKS)
async def test_a_guard_that_is_off_turns_the_proof_red(tmp_path: Path, guard: str) -> None:
    ended = await _prove(tmp_path, "--runs", "1", "--seed", "5", "--break", guard)
    found: dict[str, Any] = json.loads(ended.out)
    [played] = found["runs"]
    assert ended.status == 1, ended.err
    assert re.search(IN_WORDS[guard], " ".join(played["violations"])), played["violations"]
    assert (Path(played["folder"]) / "story.txt").is_file()


@pytest.mark.slow
@pytest.mark.timeout(420)
async def test_a_plain_worker_loses_pictures_under_the_same_plan(tmp_path: Path) -> None:
    ended = await _prove(tmp_path, "--runs", "3", "--seed", "2", "--short", "--against", "plain")
    found: dict[str, Any] = json.loads(ended.out)
    totals = found["totals"]
    assert (ended.status, found["holds"], found["against"]) == (1, False, "plain"), ended.err
    assert totals["missing_without_reason"] > 0, found
    assert {name for one in found["runs"] for name in one["left_out"]} == set(found["left_out"])
    assert f"{totals['missing_without_reason']} missing without a reason" in found["verdict"]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("wallet", WALLETS)
async def test_a_plain_worker_is_exact_while_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wallet: str
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = Plan(1, "1-1", JobType.PIPELINE_STAGE, wallet, 8, ())
    played = await play_plain(plan, tmp_path / "run", Programs((), ROOT))
    figures = played.figures
    assert (played.violations, figures["delivered"], figures["calls"]) == ([], 8, 8)
    assert (figures["unexplained"], figures["extra"], figures["mischarged"]) == (0, 0, 0)


async def test_every_fault_has_a_counterpart_on_a_plain_worker_or_is_left_out() -> None:
    assert set(ACTS) == set(COUNTERPARTS) | set(LEFT_OUT)
    assert not set(COUNTERPARTS) & set(LEFT_OUT)


@pytest.mark.timeout(120)
async def test_a_proof_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    temporal_binary()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = (sys.executable, str(ROOT / "starter.py"), "prove", "--short")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )

    def of_it() -> list[psutil.Process]:
        found = []
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                if str(tmp_path) in one.environ().get("HOME", "") and one.pid != process.pid:
                    found.append(one)
        return found

    async def all_up() -> bool:
        lines = [" ".join(one.cmdline()) for one in of_it()]
        # What still launches a program has not yet asked to end with its parent.
        return any("proof_worker" in line for line in lines) and not any("prctl" in line for line in lines)

    await until(all_up, "a worker", 60)
    for one in of_it():  # one that stands still hears nothing but SIGKILL
        with suppress(psutil.Error):
            one.send_signal(signal.SIGSTOP)
    process.kill()
    await process.wait()

    async def none_left() -> bool:
        return not of_it()

    await until(none_left, "the end of all that it had started", 30)


async def test_a_seed_decides_the_plan_and_every_act_and_type_is_played_in_turn() -> None:
    assert plans(7, 20) == plans(7, 20) != plans(8, 20)
    played = plans(7, 20)
    assert len({plan.job_type for plan in played}) == 6
    assert len({act for plan in played for act in plan.acts}) == 28


IMPOSSIBLE = {
    "no address": ("unshare -rn", None, "ended at its start"),
    "no folder": ("", "/proc/none", "no temporary folder"),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", [pytest.param("no address", marks=pytest.mark.slow), "no folder"])
async def test_what_cannot_be_played_ends_in_one_line_and_no_verdict(tmp_path: Path, what: str) -> None:
    prefix, temporary, said = IMPOSSIBLE[what]
    permitted = await run("sh", "-c", f"{prefix} true", environment={"PATH": os.environ["PATH"]}, seconds=10)
    if permitted.status:
        pytest.skip("this system permits no namespace without network")
    temporal_binary()
    words = shlex.split(prefix.format(folder=tmp_path))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": temporary or str(tmp_path)}
    command = (*words, sys.executable, str(ROOT / "starter.py"), "prove", "--json", "--runs", "1", "--short")
    ended = await run(*command, environment=environment, seconds=100)
    document = json.loads(ended.out)
    assert (ended.status, list(document)) == (2, ["error", "exit_status"]), ended
    assert said in str(document["error"])
    assert not _files(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "no space"),
        NoPort("no port"),
        ServerEnded("the server ended"),
        AssertionError("waited in vain for: the API to answer"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_does_not_start_is_no_violation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.chdir(tmp_path)

    async def play_it(_run: object, _sites: object) -> None:
        raise error

    with pytest.raises(ProofImpossible):
        await kept(plans(1, 1)[0], tmp_path / "run", play_it)


def test_the_table_shows_what_is_played_now_and_then_how_it_ended() -> None:
    shown, (plan,) = prove._Shown(Output(as_json=False)), plans(1, 1)

    def rows() -> list[str]:
        console = Console(width=200)
        with console.capture() as captured:
            console.print(shown._table())
        return captured.get().splitlines()[1:]

    shown.begin(plan)
    assert [row.split()[-1] for row in rows()] == ["running"]
    shown.end(Run(plan))
    assert [row.split()[-1] for row in rows()] == ["holds"]


def test_a_port_that_is_taken_is_not_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NoPort):
            Ports(range(port, port + 1)).free_port()


def test_no_port_is_given_twice_though_nobody_listens_there_yet() -> None:
    some = Ports(range(20_000, 20_100))
    assert len({some.free_port() for _ in range(50)}) == 50


async def test_a_report_that_cannot_be_written_is_said_before_anything_is_played(tmp_path: Path) -> None:
    ended = await _prove(tmp_path, "--report", "/proc/report.html", seconds=90)
    assert (ended.status, list(json.loads(ended.out))) == (2, ["error", "exit_status"])


async def test_a_folder_that_is_not_there_ends_it_with_one_line_and_no_verdict(tmp_path: Path) -> None:
    ended = await _prove(tmp_path, "--report", str(tmp_path / "none" / "report.html"))
    assert (ended.status, list(json.loads(ended.out))) == (2, ["error", "exit_status"])
