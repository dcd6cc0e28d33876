"""One run, in a process and a mount namespace of its own: everything it started and mounted ends with it."""

import asyncio
import ctypes
import json
import os
import random
import shutil
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

from darkroom.proof import checks
from darkroom.proof.faults import Unsupported
from darkroom.proof.figures import summary
from darkroom.proof.stack import Stack
from darkroom.proof.starting import Programs, running_stack
from tests.harness.scenarios import SCENARIOS, Scenario, small_disk
from tests.support.commands import ROOT

JOB_ENDS_WITHIN = 180.0
RESULT_FILE = "result.json"
STORY_FILE = "story.txt"
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x00020000, 0x4000, 1 << 18


@dataclass
class Result:
    """What became of a run."""

    scenario: str
    seed: int
    seconds: float = 0.0
    ordered: int = 0
    delivered: int = 0
    calls: int = 0
    least: int = 0
    """Calls that could not be fewer: delivered, and those that the provider left without a picture."""
    in_progress: int = 0
    """Calls in progress at kills, stops, terminates and resets."""
    skipped: str | None = None
    wrong: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.skipped:
            return f"skipped: {self.skipped}"
        return f"VIOLATED ({len(self.wrong)})" if self.wrong else "holds"


def play(name: str, seed: int, folder: Path) -> Result:
    """Play a scenario; leaves its result and its story in the folder."""
    result = Result(name, seed)
    began = time.monotonic()
    if SCENARIOS[name].small_disk is not None and not _own_mounts():
        result.skipped = "mounts need to be root on Linux"
    else:
        asyncio.run(_play(SCENARIOS[name], folder, result))
    result.seconds = round(time.monotonic() - began, 1)
    (folder / RESULT_FILE).write_text(json.dumps(asdict(result)), "utf-8")
    return result


async def _play(scenario: Scenario, folder: Path, result: Result) -> None:
    rng = random.Random(f"{result.seed}")
    home = folder / "home"
    home.mkdir()
    stack: Stack | None = None
    try:
        small_disk(scenario, home)
        programs = Programs(("-P", str(ROOT / "worker.py")), ROOT)
        async with running_stack(
            folder, result.seed, programs, workers=rng.randint(2, 3), client_limit=scenario.client_limit
        ) as stack:
            job = await stack.order(*(rng.randint(7, 20) for _ in range(rng.randint(2, 3))))
            job.ends = scenario.ends
            watching = asyncio.create_task(stack.watch())
            try:
                await scenario.act(stack, job, rng)
                for one in stack.jobs:
                    await stack.until_ended(one, JOB_ENDS_WITHIN)
                result.wrong += await checks.violations(stack)
                result.wrong += checks.integrity(stack)
            finally:
                watching.cancel()
                result.wrong += stack.seen_wrong
                figures = summary(stack)
                for name in ("ordered", "delivered", "calls", "least", "in_progress"):
                    setattr(result, name, figures[name])
                if scenario.small_disk is not None:
                    shutil.copytree(home, folder / "home-as-it-was", dirs_exist_ok=True)  # the mount goes
    except Unsupported as reason:
        result.skipped = str(reason)
    except Exception as error:  # noqa: BLE001 - a run that cannot be played to its end is a violation too
        result.wrong.append(f"{type(error).__name__}: {error}")
        (folder / "traceback.txt").write_text(traceback.format_exc(), "utf-8")
    finally:
        if stack is not None:
            (folder / STORY_FILE).write_text("\n".join([*stack.story, *result.wrong]) + "\n", "utf-8")


def _own_mounts() -> bool:
    """Leave the system's mount namespace; whether that was allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or os.geteuid() != 0:
        return False
    return not libc.unshare(CLONE_NEWNS) and not libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)
