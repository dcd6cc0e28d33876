"""Records the histories that are replayed in CI: `make record-histories`.

What is recorded stays: jobs that were started by that version may be running anywhere. A scenario is recorded once a
version of the package, so a new one is played and those that are there are left alone. Name scenarios to play them
anew, which is for those that no released version has recorded.
"""

import asyncio
import shutil
import sys
from pathlib import Path

from darkroom._version import __version__
from tests.replay.scenarios import SCENARIOS
from tests.replay.server import Scenario, record

HISTORIES = Path(__file__).with_name("histories")


def version() -> str:
    """The version whose workflows are recorded, without its patch level."""
    return ".".join(__version__.split(".")[:2])


async def main(names: list[str]) -> None:
    """Record the scenarios named, or those that this version has not recorded yet."""
    folder = HISTORIES / version()
    chosen: list[Scenario] = [
        scenario
        for name, scenario in SCENARIOS.items()
        if name in names or (not names and not (folder / name).is_dir())
    ]
    for scenario in chosen:
        target = folder / scenario.__name__
        unfinished = target.with_name(f".{target.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        number = await record(scenario, unfinished)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
        print(f"{target.name}: {number} histories")  # noqa: T201 - said to whoever records


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
