"""`python -m benchmarks`: measure, print a table, write bench.json. A figure that misses is no failure."""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.api import following, ordering
from benchmarks.encoding import webp
from benchmarks.figures import Figure, Machine, Report, show
from benchmarks.measurements import Bench, Measurement, memory, overhead, size, throughput
from benchmarks.supabase_records import supabase

MEASUREMENTS: dict[str, Measurement] = {
    "throughput": throughput,
    "overhead": overhead,
    "webp": webp,
    "memory": memory,
    "size": size,
    "supabase": supabase,
    "following": following,
    "ordering": ordering,
}


WIDTH = 150


async def measure(names: Sequence[str], *, quick: bool, console: Console) -> Report:
    """Make the named measurements, one after another."""
    began, load_before = time.monotonic(), os.getloadavg()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        for name in names:
            console.print(f"measuring {name} ...", style="dim")
            figures += await MEASUREMENTS[name](Bench(Path(folder), quick))
    machine = Machine(
        system=platform.platform(),
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        load_before=load_before,
        load_after=os.getloadavg(),
    )
    return Report(machine=machine, quick=quick, seconds=time.monotonic() - began, figures=tuple(figures))


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Darkroom beside the same work in a plain asyncio loop and in a bare workflow.",
    )
    parser.add_argument("--only", action="append", choices=list(MEASUREMENTS), help="may be given several times")
    parser.add_argument("--quick", action="store_true", help="small counts and short waits; figures mean nothing")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="PATH", help="default: %(default)s")
    arguments = parser.parse_args()
    report = asyncio.run(
        measure(arguments.only or list(MEASUREMENTS), quick=arguments.quick, console=Console(stderr=True))
    )
    console = Console()
    console.width = max(console.width, WIDTH)  # a table in a log file needs no wrapping either
    show(report, console)
    arguments.json.write_text(report.model_dump_json(indent=2) + "\n", "utf-8")
    print(f"{arguments.json} written")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
    # sdk-python #300: a process that used a client aborts now and then while the interpreter shuts down.
    os._exit(0)
