"""DBOS: a workflow for each stage, four steps a picture, each step's result in its database.

A stage's steps are numbered when it begins, so that a stage which is taken up again finds those that were done.
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
from benchmarks.work import CONCURRENCY, Work, seconds
from tests.support.supabase.postgres import PostgreSQL
from tests.support.supabase.processes import Lifeline

STEPS = 4


async def generate(work: str, stage: int, ordinal: int) -> None:
    """As long as a provider's call takes."""
    taken = seconds(Work.model_validate_json(work), stage, ordinal)
    if taken:
        await asyncio.sleep(taken)


async def upload(work: str, stage: int, ordinal: int) -> None:
    """Nothing."""


async def attach(work: str, stage: int, ordinal: int) -> None:
    """Nothing."""


async def credit(work: str, stage: int, ordinal: int) -> None:
    """Nothing."""


async def stage_workflow(work: str, stage: int) -> int:
    """All pictures of a stage, of which so many wait for their provider at a time."""
    images = Work.model_validate_json(work).images
    generating = asyncio.Semaphore(CONCURRENCY)
    reserved = [[DBOS.reserve_step() for _ in range(STEPS)] for _ in range(images)]

    async def picture(ordinal: int) -> int:
        first, *others = reserved[ordinal]
        async with generating:
            await first.run_async(None, generate, work, stage, ordinal)
        for step, function in zip(others, (upload, attach, credit), strict=True):
            await step.run_async(None, function, work, stage, ordinal)
        return 1

    return sum(await asyncio.gather(*(picture(ordinal) for ordinal in range(images))))


registered = DBOS.workflow(name="stage")(stage_workflow)


async def run_job(work: Work, label: str) -> Done:
    """Start a workflow for each stage and wait for all."""
    began = time.perf_counter()
    handles = []
    for stage in range(work.stages):
        with SetWorkflowID(f"{label}/{stage}"):
            handles.append(await DBOS.start_workflow_async(registered, work.model_dump_json(), stage))
    done = [await handle.get_result(polling_interval_sec=0.05) for handle in handles]
    return Done(seconds=time.perf_counter() - began, done=sum(done))


@contextmanager
def _database(setup: Setup) -> Iterator[tuple[str, int | None]]:
    """The address of an empty database, and its server's process."""
    if setup.database == "sqlite":
        file = setup.folder / "dbos.sqlite"
        with contextlib.closing(sqlite3.connect(file)) as made:
            made.execute("pragma journal_mode = wal")
        event.listen(Engine, "connect", _as_temporal_does)
        yield f"sqlite:///{file}", None
        return
    data = Path(tempfile.mkdtemp(prefix="peers-pg-"))
    lifeline = Lifeline(data)
    try:
        postgres = PostgreSQL(data, lifeline, setup.folder / "postgres.log", durable=True)
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
    setup = Setup.model_validate_json(sys.argv[1])
    setup.folder.mkdir(parents=True, exist_ok=True)
    with _database(setup) as (uri, server):
        DBOS(config={"name": "peers", "system_database_url": uri, "log_level": "WARNING", "run_admin_server": False})
        DBOS.launch()
        serve(Ready(worker=os.getpid(), server=server), lambda work, label: asyncio.run(run_job(work, label)))
        DBOS.destroy()


if __name__ == "__main__":
    main()
