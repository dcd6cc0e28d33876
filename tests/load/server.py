"""The API in a process of its own.

`python -m tests.load.server HOME USERS` prints its address, a key for each user and its pid, and serves until killed.
"""

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

from darkroom.api.app import make_app
from darkroom.api.embedding import opened
from darkroom.api.server import SteadyServer, listening, prepare_interpreter, server_config
from darkroom.api.services import Services
from darkroom.domain.keys import NewApiKey, hash_of, new_secret
from darkroom.domain.orders import JobType, Order, Stage
from darkroom.logs import configure
from darkroom.settings import Settings
from tests.support.records.fixture import Job

PICTURES, PICTURE_BYTES = 24, 3_000_000
JOBS, STAGES = 20, 1_000
"""What somebody may have who means to have much read: jobs in progress, and stages of the newest one."""


async def main(home: Path, users: int) -> None:
    """Serve."""
    settings = Settings(
        _env_file=None, darkroom_home=home, api_host="0.0.0.0", log_level="warning", supabase_jwt_secret="x" * 40
    )

    configure(settings, sys.stderr)
    async with opened(settings) as services:
        keys = []
        owner = None
        for _ in range(users):
            user_id, secret = uuid4(), new_secret()
            owner = owner or user_id
            await services.parts.records.ensure_member(user_id, 100_000)
            await services.parts.records.add_api_key(
                NewApiKey(key_id=uuid4(), user_id=user_id, name="load", operator=False, key_hash=hash_of(secret))
            )
            keys.append(secret)
        await _fill(services, owner)
        prepare_interpreter()
        with listening("127.0.0.1", 0) as sock:
            host, port = sock.getsockname()[:2]
            print(json.dumps({"url": f"http://{host}:{port}", "keys": keys, "pid": os.getpid()}), flush=True)
            await SteadyServer(server_config(make_app(services), settings)).serve([sock])


async def _fill(services: Services, user_id: UUID | None) -> None:
    """Jobs in progress of the first user: the oldest with some pictures to download, the newest with many stages."""
    stage = Stage(stage_index=0, label="", prompt="a quiet lake", quantity=PICTURES + 1)
    job = Job(services.parts.records, Order(job_type=JobType.PIPELINE_STAGE, user_id=user_id, stages=(stage,)))
    await job.create()
    await job.open()
    await job.deliver(range(PICTURES))
    for ordinal in range(PICTURES):
        await services.parts.storage.put(job.key(ordinal).final(user_id), bytes(PICTURE_BYTES), "image/webp")
    # Archives hold only what is what was stored.
    with closing(sqlite3.connect(services.parts.settings.darkroom_home / "records.db", timeout=10)) as db, db:
        stored = PICTURE_BYTES, sha256(bytes(PICTURE_BYTES)).hexdigest()
        db.execute("update quel_attach set attach_file_size = ?, sha256 = ?", stored)
    for number in range(JOBS):
        stages = STAGES if number == JOBS - 1 else 10
        more = tuple(stage.model_copy(update={"stage_index": index, "quantity": 10}) for index in range(stages))
        one = Job(services.parts.records, Order(job_type=JobType.PIPELINE_STAGE, user_id=user_id, stages=more))
        await one.create()
        await one.open()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
