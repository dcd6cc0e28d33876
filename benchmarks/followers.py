"""Many clients of one job's events, in a process of their own: `python -m benchmarks.followers PORT JOB COUNT`.

Prints a line of JSON when all have seen the end; fails when one may not follow.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from datetime import datetime

from darkroom.domain.model import Value

HOST = "127.0.0.1"


class Followed(Value):
    """What the clients saw together."""

    clients: int
    exact: int
    """Those that were told every picture once, in order, and the end."""
    pictures: int
    """The most that one was told."""
    slowest: float
    """Seconds from a picture's delivery to the moment a client was told of it, the longest of all."""


async def follow(port: int, job: str) -> tuple[list[int], int, float]:
    """The numbers of the pictures that one client was told, how often it was told the end, and its longest wait."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=2**20)
    request = f"GET /api/jobs/{job}/events HTTP/1.1\r\nHost: {HOST}:{port}\r\nAccept: text/event-stream\r\n\r\n"
    writer.write(request.encode())
    status = (await reader.readline()).decode("ascii", "replace").strip()
    if status.split()[1:2] != ["200"]:
        raise RuntimeError(f"a client may not follow the job: {status or 'the connection was closed'}")
    told: list[int] = []
    slowest = 0.0
    names: Counter[bytes] = Counter()
    event = b""
    while line := await reader.readline():
        if line.startswith(b"event: "):
            event = line[7:].strip()
            names[event] += 1
        elif line.startswith(b"data: ") and event == b"image":
            image = json.loads(line[6:])
            told.append(image["number"])
            slowest = max(slowest, time.time() - datetime.fromisoformat(image["delivered_at"]).timestamp())
        elif line == b"0\r\n":
            break
    writer.close()
    return told, names[b"end"], slowest


async def main(port: int, job: str, count: int) -> None:
    seen = await asyncio.gather(*(follow(port, job) for _ in range(count)))
    most = max(len(told) for told, _, _ in seen)
    exact = sum(told == list(range(1, most + 1)) and ends == 1 for told, ends, _ in seen)
    slowest = max(waited for _, _, waited in seen)
    print(Followed(clients=count, exact=exact, pictures=most, slowest=slowest).model_dump_json(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
