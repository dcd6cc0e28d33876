"""Commands in processes of their own, run to their end."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""


@dataclass(frozen=True)
class Ended:
    """What a program left."""

    status: int
    out: str
    err: str


async def run(*command: str, environment: Mapping[str, str], seconds: float) -> Ended:
    """Run a program with exactly this environment; it must end in time."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


async def starter(*arguments: str, environment: Mapping[str, str]) -> Ended:
    """Run a command of `starter.py`."""
    return await run(sys.executable, str(ROOT / "starter.py"), *arguments, environment=environment, seconds=20)
