"""DBOS: four steps a picture, each step's result in its database; in one of two shapes.

`picture`: a workflow for each picture, on a queue for each stage, as DBOS' documentation does such work.
`stage`: a workflow for each stage, with all steps of all its pictures, which writes least. They are numbered when it
begins, so that a stage which is taken up again finds those that were done.
"""

import asyncio
import contextlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbos import DBOS, SetWorkflowID
from sqlalchemy import event
from sqlalchemy.engine import Engine

from benchmarks.peers.program import Done, Ready, Setup, serve
from benchmarks.peers.steps import RealSteps, charged
from benchmarks.work import CONCURRENCY, Work, seconds
from tests.support.supabase.postgres import PostgreSQL
from tests.support.supabase.processes import Lifeline

STEPS = 4
STAGES = 3
POLLING = 0.05
"""Seconds; queues and results are looked for once a second otherwise."""


SETUP = Setup.model_validate_json(sys.argv[1])
steps = RealSteps(SETUP.kept) if SETUP.works else None


async def generate(work: str, key: str, stage: int, ordinal: int) -> None:
    """As long as a provider's call takes."""
    taken = seconds(Work.model_validate_json(work), stage, ordinal)
    if taken:
        await asyncio.sleep(taken)
    if steps is not None:
        await asyncio.to_thread(steps.generate, key, ordinal)


async def upload(key: str) -> None:
    if steps is not None:
        await asyncio.to_thread(steps.upload, key)


async def attach(key: str) -> None:
    if steps is not None:
        await asyncio.to_thread(steps.attach, key)


async def credit(key: str) -> None:
    if steps is not None:
        await asyncio.to_thread(steps.credit, key)


OTHERS = (upload, attach, credit)


async def stage_workflow(work: str, label: str, stage: int) -> int:
    """All pictures of a stage, of which so many wait for their provider at a time."""
    images = Work.model_validate_json(work).images
    generating = asyncio.Semaphore(CONCURRENCY)
    reserved = [[DBOS.reserve_step() for _ in range(STEPS)] for _ in range(images)]

    async def picture(ordinal: int) -> int:
        first, *others = reserved[ordinal]
        key = f"{label}/{stage}/{ordinal}"
        async with generating:
            await first.run_async(None, generate, work, key, stage, ordinal)
        for step, function in zip(others, OTHERS, strict=True):
            await step.run_async(None, function, key)
        return 1

    return sum(await asyncio.gather(*(picture(ordinal) for ordinal in range(images))))


async def picture_workflow(work: str, key: str, stage: int, ordinal: int) -> int:
    """One picture."""
    await DBOS.run_step_async(None, generate, work, key, stage, ordinal)
    for function in OTHERS:
        await DBOS.run_step_async(None, function, key)
    return 1


async def queueing_workflow(work: str, label: str, stage: int) -> int:
    """All pictures of a stage, on its queue."""
    handles = [
        await DBOS.enqueue_workflow_async(
            _queue(stage), of_a_picture, work, f"{label}/{stage}/{ordinal}", stage, ordinal
        )
        for ordinal in range(Work.model_validate_json(work).images)
    ]
    return sum([await handle.get_result(polling_interval_sec=POLLING) for handle in handles])


def _queue(stage: int) -> str:
    return f"stage-{stage}"


of_a_picture = DBOS.workflow(name="picture")(picture_workflow)
SHAPES = {
    "stage": DBOS.workflow(name="stage")(stage_workflow),
    "picture": DBOS.workflow(name="queueing")(queueing_workflow),
}


async def run_job(work: Work, label: str, shape: str) -> Done:
    """Start a workflow for each stage and wait for all."""
    began = time.perf_counter()
    handles = []
    for stage in range(work.stages):
        with SetWorkflowID(f"{label}/{stage}"):
            handles.append(await DBOS.start_workflow_async(SHAPES[shape], work.model_dump_json(), label, stage))
    done = [await handle.get_result(polling_interval_sec=POLLING) for handle in handles]
    taken = time.perf_counter() - began
    return Done(seconds=taken, done=charged(SETUP.kept, label) if SETUP.works else sum(done))


@contextmanager
def _database() -> Iterator[tuple[str, int | None]]:
    """The address of an empty database, and its server's process."""
    if SETUP.database.startswith("sqlite"):
        file = SETUP.folder / "dbos.sqlite"
        with contextlib.closing(sqlite3.connect(file)) as made:
            made.execute("pragma journal_mode = wal")
        event.listen(Engine, "connect", _as_temporal_does)
        yield f"sqlite:///{file}", None
        return
    data = Path(tempfile.mkdtemp(prefix="peers-pg-"))
    lifeline = Lifeline(data)
    try:
        postgres = PostgreSQL(data, lifeline, SETUP.folder / "postgres.log", durable=True)
        postgres.start()
        uri = postgres.create_database("dbos").replace("postgresql://", "postgresql+psycopg://", 1)
        yield uri, int((data / "data" / "postmaster.pid").read_text("ascii").split()[0])
    finally:
        lifeline.close()


def _as_temporal_does(connection: sqlite3.Connection, _record: object) -> None:
    """The file of the embedded Temporal server is written so too."""
    connection.execute("pragma synchronous = normal")


def main() -> None:
    """Serve until standard input ends."""
    SETUP.folder.mkdir(parents=True, exist_ok=True)
    with _database() as (uri, server):
        DBOS(config={"name": "peers", "system_database_url": uri, "log_level": "WARNING", "run_admin_server": False})
        DBOS.launch()
        shape = SETUP.database.partition("/")[2]
        for stage in range(STAGES):
            DBOS.register_queue(_queue(stage), worker_concurrency=CONCURRENCY, polling_interval_sec=POLLING)
        serve(Ready(worker=os.getpid(), server=server), lambda work, label: asyncio.run(run_job(work, label, shape)))
        DBOS.destroy()


if __name__ == "__main__":
    main()
