"""`python -m benchmarks`: measure, print a table, write bench.json. A figure that misses is no failure."""

import argparse
import asyncio
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from benchmarks.figures import show
from benchmarks.running import NotComparable, Recorder, leave, measure

MEASUREMENTS = {
    "throughput": "benchmarks.measurements:throughput",
    "peers": "benchmarks.peers.measuring:peers",
    "small-orders": "benchmarks.small_orders:small_orders",
    "burst": "benchmarks.slow_calls:burst",
    "mixed": "benchmarks.slow_calls:mixed",
    "memory": "benchmarks.slow_calls:memory",
    "large-answers": "benchmarks.large_answers:large_answers",
    "webp": "benchmarks.encoding:webp",
    "formats": "benchmarks.encoding:formats",
    "size": "benchmarks.measurements:size",
    "supabase": "benchmarks.supabase_records:supabase",
    "supabase-delayed": "benchmarks.supabase_records:delayed",
    "supabase-commits": "benchmarks.supabase_records:slow_commits",
    "following": "benchmarks.api:following",
    "ordering": "benchmarks.api:ordering",
}

WIDTH = 230
PATIENCE = 3600.0


def main() -> int:
    """The program; gives its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Darkroom beside the same work in a plain asyncio loop, a bare workflow and other engines.",
    )
    parser.add_argument("--only", action="append", choices=list(MEASUREMENTS), help="may be given several times")
    parser.add_argument("--quick", action="store_true", help="small counts and short waits; figures mean nothing")
    parser.add_argument("--repeat", type=int, metavar="N", help="runs of what is repeated (default: 1 to 5)")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="PATH", help="default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="keep what is in the file and is not measured again")
    arguments = parser.parse_args()
    try:
        recorder = Recorder(arguments.json, quick=arguments.quick, keep=arguments.keep)
    except NotComparable as error:
        parser.error(str(error))
    names = arguments.only or list(MEASUREMENTS)
    with suppress(KeyboardInterrupt):  # what was measured before is shown
        asyncio.run(
            measure(
                MEASUREMENTS,
                names,
                recorder,
                quick=arguments.quick,
                repeats=arguments.repeat,
                patience=PATIENCE,
            )
        )
    console = Console()
    console.width = max(console.width, WIDTH)  # a table in a log file needs no wrapping either
    show(recorder.report, console)
    print(f"{arguments.json} written")
    return int(recorder.broken)


if __name__ == "__main__":
    leave(main())
