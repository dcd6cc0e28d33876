"""What an operator reads when a project is not as it should be: one line with the remedy, here and in the log."""

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.commands import Ended, starter
from tests.support.programs import temporal_binary
from tests.support.stacks.adapters import on_supabase
from tests.support.stacks.process import ProcessStack, environment_of
from tests.support.stacks.temporal_server import TemporalServer
from tests.support.stacks.worker_process import WorkerProcess
from tests.support.supabase.local import LocalSupabase, running_supabase
from tests.support.until import until

MIGRATE = "; apply supabase/migrations up to "
KEY = "; set SUPABASE_SERVICE_ROLE_KEY to the project's service_role key"


@on_supabase
@pytest.mark.parametrize("key", ["the anonymous one", pytest.param("no key at all", marks=pytest.mark.slow)])
async def test_a_worker_with_a_wrong_key_says_so_and_one_with_the_right_key_goes_on(
    darkroom: ProcessStack, supabase: LocalSupabase, key: str
) -> None:
    job_id = await darkroom.order(3)
    wrong = supabase.project.anon_key if key == "the anonymous one" else "no-key-at-all"
    await darkroom.worker.start({"SUPABASE_SERVICE_ROLE_KEY": wrong, "PICK_UP_EVERY": 1})
    assert KEY in await _reason(darkroom.worker)
    assert (await darkroom.row(job_id)).status == "pending"
    assert await darkroom.worker.stop() == 0
    assert darkroom.worker.log_file.read_text("utf-8").count("Traceback") == 0
    await darkroom.worker.start({"OFFLINE_LATENCY": 0.2})
    receipt = await asyncio.wait_for(darkroom.handle(job_id).result(), 30)
    assert (receipt.delivered, receipt.total.provider_calls) == (3, 3)
    await darkroom.check_invariants()


@pytest.mark.slow
async def test_a_project_that_is_not_migrated_is_named_with_the_remedy(tmp_path: Path) -> None:
    temporal_binary()
    home = tmp_path / "home"
    home.mkdir()
    server = TemporalServer(home)
    with running_supabase(tmp_path / "project", migrated=False) as supabase:
        environment = environment_of(home, server, supabase)
        worker = WorkerProcess(home, environment)
        order = tmp_path / "order.json"
        stages = [{"prompt": "a red coat", "quantity": 2}]
        order.write_text(json.dumps({"userId": str(uuid4()), "stages": stages}), "utf-8")
        try:
            await server.start()
            for command in (["submit", str(order)], ["list"]):
                ended = await starter(*command, environment=environment)
                assert ended.status == 5, ended
                assert MIGRATE in _error(ended)
            await worker.start({"PICK_UP_EVERY": 1})
            assert MIGRATE in await _reason(worker)
            assert await worker.stop() == 0
            assert worker.log_file.read_text("utf-8").count("Traceback") == 0

            await asyncio.to_thread(supabase.project.migrate)
            assert await starter("list", environment=environment) == Ended(0, "no jobs\n", "")
        finally:
            await worker.kill()
            await server.kill()


async def _reason(worker: WorkerProcess) -> str:
    """What the worker's one line about the records says."""

    async def said() -> bool:
        return bool(worker.events("records unavailable"))

    await until(said, "a line about the records", 10)
    [line] = worker.events("records unavailable")
    reason: str = line["reason"]
    assert "\n" not in reason
    return reason


def _error(ended: Ended) -> str:
    assert ended.out == "", ended
    [line] = ended.err.splitlines()
    assert line.startswith("error: "), line
    return line
