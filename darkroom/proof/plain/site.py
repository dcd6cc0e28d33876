"""One plain worker of a run, its database, and the orders that a front end would give it."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from darkroom.orders import read_order
from darkroom.proof.plain.records import CANCELLED, SCHEMA, WORKING
from darkroom.proof.ports import HOST, free_port
from darkroom.proof.processes import Process, Worker
from darkroom.proof.site import ENDED, OPENING_BALANCE, Ordered, Site
from darkroom.proof.starting import SETTINGS, Programs, provider_process
from darkroom.proof.waiting import until

MODULE = ("-P", "-m")
QUEUED_WITHIN = 30.0


@dataclass(kw_only=True)
class PlainSite(Site):
    """The worker, and what a front end does with it."""

    queue_port: int
    db: sqlite3.Connection
    """Open as long as the run, so that its write-ahead log is there."""

    async def submit(
        self, document: Mapping[str, Any], user_id: UUID | None, *, org_id: UUID | None = None, job_id: UUID
    ) -> Ordered:
        """Insert the job's row, and put its id into the queue."""
        order = read_order(dict(document)).order
        stages = [{"prompt": stage.prompt, "quantity": stage.quantity} for stage in order.stages]
        job = Ordered(job_id, user_id, sum(stage.quantity for stage in order.stages), org_id, ends=None)
        with self.db:
            self.db.execute(
                "insert into quel_production_jobs (job_id, job_type, quel_member_id, org_id, total_images,"
                " job_input_data) values (?, ?, ?, ?, ?, ?)",
                (
                    *(str(job_id), order.job_type.value, user_id and str(user_id), org_id and str(org_id)),
                    *(job.total, json.dumps({"stages": stages})),
                ),
            )
        self.jobs.append(job)
        await asyncio.wait_for(self._queue(job_id), QUEUED_WITHIN)
        self.say(f"ordered {job.total} pictures in {len(stages)} stages")
        return job

    async def _queue(self, job_id: UUID) -> None:
        reader, writer = await asyncio.open_connection(HOST, self.queue_port)
        writer.write(f"{job_id}\n".encode())
        await reader.readline()
        writer.close()

    def wallet(self, user_id: UUID, credits_: int = OPENING_BALANCE, *, organization: bool = False) -> UUID:
        """Insert a member, or an organization of this member, with so many credits."""
        wallet = uuid4() if organization else user_id
        self.openings[str(wallet)] = credits_
        with self.db:
            if organization:
                self.db.execute(
                    "insert into quel_organization values (?, 'Proof', ?, ?)", (str(wallet), credits_, str(user_id))
                )
            else:
                self.db.execute("insert into quel_member values (?, 'proof@example.org', ?)", (str(wallet), credits_))
        return wallet

    def delivered(self, job: Ordered) -> int:
        found = self.rows("select completed_images from quel_production_jobs where job_id = ?", str(job.job_id))
        return int(found[0][0]) if found else 0

    def status(self, job: Ordered) -> str:
        found = self.rows("select job_status from quel_production_jobs where job_id = ?", str(job.job_id))
        return "" if not found else "cancelled" if found[0][0] == CANCELLED else str(found[0][0])

    def over(self, job: Ordered) -> bool:
        """Whether its end was written, or the worker that knew of it was killed or has given it up."""
        return not (self.home / WORKING / self.workers[0].known_as / str(job.job_id)).exists()

    async def steer(self, job: Ordered, action: str, *, may_refuse: bool = False) -> dict[str, Any]:  # noqa: ARG002 - Darkroom's signature
        """Cancel as front ends do, by a word on the row."""
        if action != "cancel" or self.status(job) in ENDED:
            return {}
        with self.db:
            self.db.execute(
                "update quel_production_jobs set job_status = ? where job_id = ?", (CANCELLED, str(job.job_id))
            )
        self.say("cancel: written on the row")
        return {"success": True}


@asynccontextmanager
async def running_plain(
    folder: Path, seed: str, programs: Programs, *, client_limit: float, latency: tuple[float, float]
) -> AsyncIterator[PlainSite]:
    """The provider and the worker up; killed at the end."""
    home = folder / "home"
    for path in (home, folder / "tmp"):
        path.mkdir()
    provider_port, queue_port = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": str(programs.path),
        "DARKROOM_HOME": str(home),
        "GEMINI_BASE_URL": f"http://{HOST}:{provider_port}",
        "GEMINI_TIMEOUT": f"{client_limit:g}",
        **SETTINGS,
    }
    program = (*MODULE, "darkroom.proof.plain.worker", str(folder), "--port", str(queue_port))
    provider = provider_process(
        folder, provider_port, environment, seed=seed, client_limit=client_limit, latency=latency
    )
    worker = Worker(Process.python("worker", program, environment, folder / "worker.log"), 0)
    async with AsyncExitStack() as cleanup:
        db = cleanup.enter_context(closing(sqlite3.connect(home / "records.db", timeout=30)))
        db.execute("pragma journal_mode = wal")
        db.executescript(SCHEMA)
        for process in (provider, worker.process):
            cleanup.push_async_callback(process.kill)
        site = PlainSite(folder, home, provider, [worker], environment, client_limit, queue_port=queue_port, db=db)
        await asyncio.gather(provider.start(), worker.start())
        await until(lambda: _listens(provider_port), "the provider to listen", QUEUED_WITHIN)
        site.say("everything is up")
        yield site


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
