"""Plays runs and prints a line for each, then a table; see the package's own words."""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from darkroom.embedded.processes import start_tied
from tests.harness import __doc__ as description
from tests.harness.play import RESULT_FILE, Result, play
from tests.harness.scenarios import SCENARIOS

LONGEST_RUN = 420.0
"""Seconds; a run has limits of its own below that."""
WIDTHS = "{:>6}  {:<20} {:>7}  {:>9}  {:>5}  {:>5}  {:>11}  {}"
HEAD = WIDTHS.format("seed", "scenario", "seconds", "pictures", "calls", "least", "in progress", "verdict")


def line(result: Result) -> str:
    """One run in a line."""
    pictures = f"{result.delivered}/{result.ordered}"
    figures = (pictures, result.calls, result.least, result.in_progress)
    return WIDTHS.format(result.seed, result.scenario, result.seconds, *figures, result.verdict)


async def play_all(plan: Sequence[tuple[str, int]], *, at_once: int, keep: bool) -> list[Result]:
    """Play these scenarios with these seeds, each in a process of its own; what broke keeps its folder."""
    places = asyncio.Semaphore(at_once)

    async def one(name: str, seed: int) -> Result:
        async with places:
            folder = Path(tempfile.mkdtemp(prefix=f"darkroom-harness-{name}-{seed}-"))
            result = await _in_a_process(name, seed, folder)
            print(line(result), flush=True)  # noqa: T201 - the output of this program
            for wrong in result.wrong:
                print(f"        {wrong}", flush=True)  # noqa: T201
            if result.wrong or keep:
                print(f"        kept: {folder}", flush=True)  # noqa: T201
            else:
                shutil.rmtree(folder, ignore_errors=True)
            return result

    return list(await asyncio.gather(*(one(name, seed) for name, seed in plan)))


async def _in_a_process(name: str, seed: int, folder: Path) -> Result:
    words = [sys.executable, "-m", "tests.harness", "--play", name, "--seed", str(seed), "--folder", str(folder)]
    process = await start_tied(words, folder / "run.log", at_our_end=signal.SIGKILL)
    try:
        await asyncio.wait_for(process.wait(), LONGEST_RUN)
        found: dict[str, object] = json.loads((folder / RESULT_FILE).read_text("utf-8"))
        return Result(**found)  # type: ignore[arg-type]  # as `play` wrote it
    except TimeoutError:
        return Result(name, seed, LONGEST_RUN, wrong=["the run did not end"])
    except (OSError, ValueError):
        return Result(name, seed, wrong=[f"the run broke: {(folder / 'run.log').read_text('utf-8')[-2000:]}"])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def main() -> int:
    """Run the program; 1 when anything did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.harness", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=len(SCENARIOS), help="how many (default: each scenario once)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next one has the next (default 1)")
    parser.add_argument("--only", action="append", choices=[*SCENARIOS], help="a scenario; repeatable (default: all)")
    parser.add_argument("--at-once", type=int, default=1, choices=(1, 2), help="runs at the same time (default 1)")
    parser.add_argument("--keep", action="store_true", help="keep the folders of runs in which all held, too")
    parser.add_argument("--play", choices=[*SCENARIOS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.play:
        play(given.play, given.seed, given.folder)
        return 0
    names = given.only or [*SCENARIOS]
    plan = [(names[n % len(names)], given.seed + n) for n in range(given.runs)]
    print(HEAD, flush=True)  # noqa: T201
    results = asyncio.run(play_all(plan, at_once=given.at_once, keep=given.keep))
    played = [result for result in results if not result.skipped]
    broken = [result for result in played if result.wrong]
    print("", HEAD, *map(line, results), "", sep="\n")  # noqa: T201
    totals = {
        name: sum(getattr(result, name) for result in played) for name in ("delivered", "calls", "least", "in_progress")
    }
    print(  # noqa: T201
        f"{len(played)} runs, {len(results) - len(played)} skipped, {len(broken)} with violations; "
        f"{totals['delivered']} pictures, {totals['calls']} calls, at least {totals['least']}, "
        f"{totals['in_progress']} in progress at a kill"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
