"""The worker of a proof: `worker.py`, with ports that fail on demand and, for `--break`, a guard that is off."""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import structlog
import uvloop

from darkroom.collector import without_collection

with without_collection():
    from darkroom import logs
    from darkroom.bootstrap import open_parts
    from darkroom.client.connection import connect, ensure_search_attributes
    from darkroom.client.schedules import ensure_schedules
    from darkroom.proof.breaks import BREAK_VARIABLE, unguarded
    from darkroom.proof.wrappers import FOLDER_VARIABLE, DeliveredTwice, FailingPort, Shares
    from darkroom.settings import Settings, read_settings
    from worker import running_workers

log = structlog.get_logger("darkroom.worker")


async def serve(settings: Settings) -> None:
    """Work until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    folder = Path(os.environ[FOLDER_VARIABLE])
    shares = Shares(folder)
    client = await connect(settings)
    await ensure_search_attributes(client)
    await ensure_schedules(
        client, waiting_every=None, housekeeping_every=timedelta(seconds=settings.housekeeping_every)
    )
    async with open_parts(settings) as own:
        records, storage = unguarded(
            own.records, own.storage, os.environ.get(BREAK_VARIABLE, ""), settings.darkroom_home / "records.db"
        )
        replaced = {
            "records": FailingPort(records, "records", shares),
            "storage": FailingPort(storage, "storage", shares),
        }
        async with (
            open_parts(settings, **replaced) as parts,
            running_workers(parts, client, interceptors=[DeliveredTwice(shares)]),
        ):
            log.info("worker started", uses=parts.describe())
            await stop.wait()


if __name__ == "__main__":
    chosen = read_settings()
    logs.configure(chosen)
    uvloop.run(serve(chosen))
    sys.stderr.flush()
    os._exit(0)  # as in worker.py
