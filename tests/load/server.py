"""The API in a process of its own.

`python -m tests.load.server HOME USERS` prints its address, a key for each user and its pid, and serves until killed.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from uuid import uuid4

import uvicorn

from darkroom.api.app import make_app
from darkroom.api.embedding import opened
from darkroom.api.server import SWITCH_INTERVAL, listening, server_config
from darkroom.domain.keys import NewApiKey, hash_of, new_secret
from darkroom.logs import configure
from darkroom.settings import Settings


async def main(home: Path, users: int) -> None:
    """Serve."""
    settings = Settings(
        _env_file=None, darkroom_home=home, api_host="0.0.0.0", log_level="warning", supabase_jwt_secret="x" * 40
    )

    configure(settings, sys.stderr)
    sys.setswitchinterval(SWITCH_INTERVAL)
    async with opened(settings) as services:
        keys = []
        for _ in range(users):
            user_id, secret = uuid4(), new_secret()
            await services.parts.records.ensure_member(user_id, 100_000)
            await services.parts.records.add_api_key(
                NewApiKey(key_id=uuid4(), user_id=user_id, name="load", operator=False, key_hash=hash_of(secret))
            )
            keys.append(secret)
        with listening("127.0.0.1", 0) as sock:
            host, port = sock.getsockname()[:2]
            print(json.dumps({"url": f"http://{host}:{port}", "keys": keys, "pid": os.getpid()}), flush=True)
            await uvicorn.Server(server_config(make_app(services), settings)).serve([sock])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
