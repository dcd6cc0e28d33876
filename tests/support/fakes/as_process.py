"""Running a server that plays a provider as a process: its command line, and the scripts it reads."""

import argparse
import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import Any

from tests.support.fakes.http import KEY, FakeProvider


def read_script(text: str) -> list[str]:
    """The answers of a script, one for each call."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    steps = (re.fullmatch(r"(\S+)(?:\s+x(\d+))?", line) for line in lines if line)
    names: list[str] = []
    for step in steps:
        if step is None:
            raise ValueError("a script's line is an answer's name, then maybe how often, as in '503 x3'")
        names += [step[1]] * int(step[2] or 1)
    return names


async def _run(server: FakeProvider[Any]) -> None:
    stopped = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    async with server:
        sys.stdout.write(f"fake {server.name} at {server.url}, key {server.key}\n")
        sys.stdout.flush()
        await stopped.wait()


def serve(kind: type[FakeProvider[Any]], program: str, description: str | None) -> None:
    """Serve until interrupted; the address is on the first line of output."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog=f"answers: {', '.join(kind.repertoire.known())}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--key", default=KEY, help=f"the key that is right (default {KEY})")
    parser.add_argument("--model", help="the only model there is (default: there are all)")
    parser.add_argument("--script", type=Path, help="a file with an answer's name a line")
    parser.add_argument("--answer", default="png", help="what is answered after the script (default png)")
    parser.add_argument("--latency", type=float, default=0, help="seconds before each answer (default 0)")
    given = parser.parse_args()
    try:
        server = kind(
            *(read_script(given.script.read_text()) if given.script else ()),
            then=given.answer,
            key=given.key,
            port=given.port,
            latency=given.latency,
            model=given.model,
        )
    except (ValueError, OSError) as problem:
        parser.error(str(problem))
    asyncio.run(_run(server))
