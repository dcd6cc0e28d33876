"""`prove`: the promise, broken at on this machine, and what came of it."""

import asyncio
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from cli import arguments
from cli.invocation import command
from cli.output import Output
from cli.statuses import InputRejected, Status
from cli.working import run
from darkroom.domain.errors import ProofImpossible
from darkroom.proof.breaks import BREAKS
from darkroom.proof.plain.runs import LEFT_OUT, play_plain
from darkroom.proof.plans import Plan, plans
from darkroom.proof.report import page
from darkroom.proof.runs import Run, play_run
from darkroom.proof.starting import Programs
from darkroom.proof.verdict import described, sentence, totals

ROOT = Path(__file__).parents[1]
PROGRAMS = Programs(("-P", "-m", "cli.proof_worker"), ROOT)
KEPT_VARIABLES = frozenset({"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "TERM", "COLUMNS", "NO_COLOR"})
"""What a proof takes from the environment: no key, no address."""

Guard = StrEnum("Guard", {name: name for name in BREAKS})  # type: ignore[misc]  # the names are written once


class Against(StrEnum):
    """What a plan can be played on instead of Darkroom."""

    PLAIN = "plain"


_RUNS = Annotated[int, typer.Option("--runs", min=1, max=1000, help="How many runs.")]
_SEED = Annotated[int, typer.Option("--seed", help="Decides jobs and faults: the same seed plays the same plan.")]
_MINUTES = Annotated[
    float | None, typer.Option("--minutes", min=0.1, help="Begin no run after so many minutes.", show_default=False)
]
_BREAK = Annotated[
    Guard | None,
    typer.Option("--break", help="Switch one guard off, by a wrapper: it must turn red.", show_default=False),
]
_AGAINST = Annotated[
    Against | None,
    typer.Option(
        "--against",
        help="Play the plan on a plain asyncio worker with a queue in memory instead, for comparison.",
        show_default=False,
    ),
]
_SHORT = Annotated[bool, typer.Option("--short", help="Small jobs only.")]
_REPORT = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write an HTML page to keep.", show_default=False)
]


def prove(
    runs: _RUNS = 20,
    seed: _SEED = 1,
    minutes: _MINUTES = None,
    guard: _BREAK = None,
    report: _REPORT = None,
    *,
    against: _AGAINST = None,
    short: _SHORT = False,
    as_json: arguments.AsJson = False,
) -> None:
    """Prove on this machine that counts and money are exact, whatever fails.

    Each run starts a stack of its own in a temporary folder (Temporal, two workers, the API, a provider), orders a
    job, and breaks what its seed says: processes are killed and stopped, providers, storage and records fail, users
    pause, cancel and restart. Then the provider's own log, the files and the records are compared, and `audit` runs.
    Needs no network and no key. The folder of a run that shows a violation is kept.

    `--against plain` plays the same plan on a plain asyncio worker, the kind that Darkroom replaces. Faults without a
    counterpart there, such as a killed Temporal server, are left out and named.
    """
    output = Output(as_json=as_json)
    target = report.absolute() if report is not None else None
    if target is not None and not target.parent.is_dir():
        raise InputRejected("--report", f"there is no folder {target.parent}")
    if target is not None:
        try:
            target.open("a").close()
        except OSError as error:
            raise InputRejected("--report", f"{target} cannot be written: {error.strerror}") from None
    if against and guard:
        raise InputRejected("--against", "a plain worker has no guard to switch off: leave out --break")
    here = Path.cwd()
    chosen = plans(seed, runs, guard=guard.value if guard else None, short=short)
    again = _again(runs, seed, guard, against, short=short)
    played = run(_played(chosen, output, minutes, against))
    os.chdir(here)
    found = totals(played, against.value if against else None)
    if target is not None:
        target.write_text(page(played, found, again), "utf-8")
        output.say(f"report    {target}")
    if found["left_out"]:
        left_out = ", ".join(name.replace("_", " ") for name in found["left_out"])
        output.say(f"left out  {left_out}: a plain worker has no counterpart")
    output.sentence(sentence(found), style="accent" if found["violated"] else "strong")
    if found["violated"]:
        output.say(f"again     {again}")
    document: dict[str, Any] = {
        "holds": not found["violated"],
        "verdict": sentence(found),
        "seed": seed,
        "against": against.value if against else None,
        "left_out": {name: LEFT_OUT[name] for name in found["left_out"]},
        "break": guard.value if guard else None,
        "command": again,
        "totals": found,
        "runs": [one.document() for one in played],
    }
    output.result(document)
    raise typer.Exit(Status.NOT_ALL if found["violated"] else Status.DONE)


def _again(runs: int, seed: int, guard: Guard | None, against: Against | None, *, short: bool) -> str:
    words = ["prove", "--runs", str(runs), "--seed", str(seed)]
    words += ["--break", guard.value] if guard else []
    words += ["--against", against.value] if against else []
    return command(shlex.join([*words, *(["--short"] if short else [])]))


async def _played(chosen: Sequence[Plan], output: Output, minutes: float | None, against: Against | None) -> list[Run]:
    for name in set(os.environ) - KEPT_VARIABLES:
        del os.environ[name]
    try:
        base = Path(tempfile.mkdtemp(prefix="darkroom-prove-", dir=os.environ.get("TMPDIR")))
    except OSError as error:
        raise ProofImpossible(f"no temporary folder: {error.strerror}") from None
    ends = None if minutes is None else time.monotonic() + 60 * minutes
    played: list[Run] = []
    play = play_plain if against is Against.PLAIN else play_run
    table = _Shown(output)
    try:
        with table:
            for plan in chosen:
                if ends is not None and time.monotonic() > ends and played:
                    break
                table.begin(plan)
                played.append(await play(plan, base / f"run-{plan.number:02}", PROGRAMS))
                table.end(played[-1])
    except OSError as error:
        raise ProofImpossible(f"a proof cannot be played in {base}: {error.strerror or error}") from None
    finally:
        if all(one.holds for one in played):
            await asyncio.to_thread(shutil.rmtree, base, ignore_errors=True)
    return played


class _Shown:
    """The runs so far: a table that grows, or a line for each where nothing can be redrawn."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rows: list[tuple[str, ...]] = []
        self._playing: tuple[Plan, float] | None = None
        """What is played now, and since when."""
        self._live = (
            Live(get_renderable=self._table, console=output.notes, refresh_per_second=2) if output.live else None
        )

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        self._playing = None
        if self._live is not None:
            self._live.stop()

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("run", "job and faults", "pictures", "calls", "kills", "seconds", "verdict"):
            table.add_column(name, justify="right" if name in ("pictures", "calls", "kills", "seconds") else "left")
        for row in self._rows:
            table.add_row(*row)
        playing = self._playing  # the table is drawn by a thread of its own
        if playing is not None:
            plan, since = playing
            table.add_row(str(plan.number), described(plan), "", "", "", f"{time.monotonic() - since:.0f}", "running")
        return table

    def begin(self, plan: Plan) -> None:
        """A run is played now."""
        self._playing = plan, time.monotonic()
        if self._live is None:
            self._output.say(f"run {plan.number}: {described(plan)}")

    def end(self, played: Run) -> None:
        """How it ended."""
        figures = played.figures
        pictures = f"{figures.get('delivered', 0)}/{figures.get('ordered', 0)}"
        verdict = "holds" if played.holds else f"VIOLATED ({len(played.violations)})"
        numbers = (pictures, *(str(figures.get(name, 0)) for name in ("calls", "kills")), f"{played.seconds:.0f}")
        self._rows.append((str(played.plan.number), described(played.plan), *numbers, verdict))
        self._playing = None
        if self._live is None:
            self._output.say(
                f"  {verdict}: {pictures} pictures, {numbers[1]} calls, {numbers[2]} kills, {numbers[3]} s"
            )
        for wrong in played.violations[:5]:
            self._output.say(f"  {wrong}", style="accent")
        if played.folder:
            self._output.say(f"  kept: {played.folder}")
