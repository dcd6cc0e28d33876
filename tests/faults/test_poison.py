"""A picture that kills its decoder is a miss; what lies beside it is delivered, and the worker lives (spec §3)."""

import os
from pathlib import Path

import psutil

from darkroom.domain.progress import JobStatus
from tests.support.commands import ROOT
from tests.support.poison import Poison, PoisonedPath
from tests.support.stacks.gated_worker import picture_of
from tests.support.stacks.process import ProcessStack
from tests.support.stacks.worker_process import GATED
from tests.support.until import until

POISON = 2
"""The ordinal whose picture crashes whoever decodes it."""


async def test_a_picture_that_kills_its_decoder_is_a_miss_and_costs_nothing_else(
    darkroom: ProcessStack, tmp_path: Path
) -> None:
    poisoned = PoisonedPath(tmp_path / "path", {picture_of(POISON): Poison.CRASHES})
    path = os.pathsep.join((str(poisoned.folder), str(ROOT)))
    darkroom.open_gate(0)
    settings = {"GATED_FILE": "gate", "STAGE_CONCURRENCY": 12, "TOP_UP_DELAY": 0.1, "PYTHONPATH": path}
    await darkroom.worker.start(settings, program=GATED)
    job_id = await darkroom.order(12)

    async def all_called() -> bool:
        return len(darkroom.worker.events("call began")) == 12

    await until(all_called, "the calls of the first round")
    darkroom.open_gate(100)
    receipt = await darkroom.receipt(job_id)
    assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 12)
    assert (receipt.total.provider_calls, receipt.total.misses, receipt.total.unknown_calls) == (13, 1, 0)
    assert darkroom.records.outcomes(job_id, "missed") == [(0, POISON)]
    assert len(poisoned.processes(picture_of(POISON))) == 2
    await darkroom.check_invariants()
    # Stopped, it leaves no process behind.
    (worker,) = [p for p in psutil.Process().children() if "gated_worker" in " ".join(p.cmdline())]
    decoders = worker.children()
    assert decoders
    assert await darkroom.worker.stop() == 0
    psutil.wait_procs(decoders, timeout=5)
    assert not any(decoder.is_running() for decoder in decoders)
