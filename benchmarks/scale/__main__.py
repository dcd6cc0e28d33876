"""`python -m benchmarks.scale`: measure large jobs and many at once, print a table, write bench-scale.json."""

import argparse
import asyncio
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from benchmarks.figures import show
from benchmarks.running import NotComparable, Recorder, leave, measure

SCENARIOS = {
    "large": "benchmarks.scale.scenarios:large",
    "many": "benchmarks.scale.scenarios:many",
    "stages": "benchmarks.scale.scenarios:stages",
    "thousand": "benchmarks.scale.scenarios:thousand",
    "pairs": "benchmarks.scale.scenarios:pairs",
    "cancel": "benchmarks.scale.cancelling:cancel",
    "lists": "benchmarks.scale.lists:lists",
}

WIDTH = 170
PATIENCE = 2 * 3600.0


def main() -> int:
    """The program; gives its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description="Measure 3 × 10,000 pictures, 1,000 jobs at once, 100 and 1,000 stages, cancels, and long lists.",
    )
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="may be given several times")
    parser.add_argument("--quick", action="store_true", help="small counts; figures mean nothing")
    parser.add_argument(
        "--json", type=Path, default=Path("bench-scale.json"), metavar="PATH", help="default: %(default)s"
    )
    parser.add_argument("--keep", action="store_true", help="keep what is in the file and is not measured again")
    arguments = parser.parse_args()
    try:
        recorder = Recorder(arguments.json, quick=arguments.quick, keep=arguments.keep)
    except NotComparable as error:
        parser.error(str(error))
    names = arguments.only or list(SCENARIOS)
    with suppress(KeyboardInterrupt):  # what was measured before is shown
        asyncio.run(measure(SCENARIOS, names, recorder, quick=arguments.quick, repeats=None, patience=PATIENCE))
    console = Console()
    console.width = max(console.width, WIDTH)
    show(recorder.report, console, "Darkroom at scale")
    print(f"{arguments.json} written")
    return int(recorder.broken)


if __name__ == "__main__":
    leave(main())
