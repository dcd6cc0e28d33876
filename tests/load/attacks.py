"""What an enemy does to the API for so many seconds, from a process of their own.

`python -m tests.load.attacks NAME URL KEY SECONDS` prints how often each status came back.
"""

import asyncio
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
from PIL import Image

MANY = b'{"stages": [' + b"[]," * 4_194_000 + b"[]]}"
DEEP = b"[" * 12_500_000
KEYS = b'{"stages": [{"prompt": "a", "quantity": 1}]' + b"".join(b', "%d": 1' % n for n in range(190_000)) + b"}"
TEXTS = json.dumps({"stages": [{"prompt": "a" * 11_000, "quantity": 1}] * 1_000}).encode()
GIVEN_UP = 0.5
"""Seconds after which an enemy leaves."""
LARGEST = 6_300
"""Pixels of a side: 39.7 million pixels."""


async def exchange(url: str, said: bytes, more: bytes = b"") -> str:
    """The status that came back, or how it ended."""
    where = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
    except OSError as error:
        return type(error).__name__
    sending = asyncio.create_task(_send(writer, said + more))
    try:
        line = await asyncio.wait_for(reader.readline(), 120)
        return line[9:12].decode() or "closed"
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    finally:
        sending.cancel()
        writer.close()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(OSError):
        for start in range(0, len(data), 65_536):
            writer.write(data[start : start + 65_536])
            await writer.drain()


def head(method: str, path: str, key: str, *more: str) -> bytes:
    """A request's head."""
    sign_in = [f"Authorization: Bearer {key}"] if key else ["Sec-Fetch-Site: none"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *sign_in, *more, "", ""]).encode()


def post(path: str, key: str, body: bytes, kind: str = "application/json") -> tuple[bytes, bytes]:
    """A request with a body."""
    return head("POST", path, key, f"Content-Type: {kind}", f"Content-Length: {len(body)}"), body


def upload(key: str, picture: bytes) -> tuple[bytes, bytes]:
    """The upload of a picture."""
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    return post("/api/attachments", key, start + picture + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")


def largest_picture() -> bytes:
    """A PNG of 39.7 million pixels with transparency, which takes longest to write anew."""
    target = io.BytesIO()
    grey = Image.linear_gradient("L").resize((LARGEST, LARGEST))
    Image.merge("RGBA", [grey] * 4).save(target, "PNG", compress_level=1)
    return target.getvalue()


async def repeated(seconds: float, at_once: int, once: Callable[[int], Awaitable[str]]) -> Counter[str]:
    """So many at once, again and again."""
    came: Counter[str] = Counter()
    ends = time.monotonic() + seconds

    async def one(number: int) -> None:
        while time.monotonic() < ends:
            came[await once(number)] += 1

    await asyncio.gather(*(one(number) for number in range(at_once)))
    return came


async def strangers(url: str, _key: str, seconds: float) -> Counter[str]:
    """Ten bodies of 12 MB at once, without a key."""
    return await repeated(seconds, 10, lambda _: exchange(url, *post("/api/jobs", "", MANY)))


async def documents(url: str, key: str, seconds: float) -> Counter[str]:
    """Ten bodies of 12 MB at once of one user: too many values, too deep, too many keys, and one that is in order."""
    bodies = (MANY, DEEP, KEYS, TEXTS)
    paths = ("/api/jobs/quote", "/api/jobs")
    return await repeated(seconds, 10, lambda n: exchange(url, *post(paths[n % 2], key, bodies[n % len(bodies)])))


async def heads(url: str, _key: str, seconds: float) -> Counter[str]:
    """260 heads that are never ended, and 1,500 connections more."""
    where, half = urlsplit(url), head("GET", "/healthz", "")[:-2]
    came: Counter[str] = Counter()
    held: list[asyncio.StreamWriter] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            _, writer = await asyncio.open_connection(where.hostname, where.port)
        except OSError as error:
            came[type(error).__name__] += 1
            await asyncio.sleep(0.01)
            continue
        writer.write(half)
        held.append(writer)
        came["half-open"] += 1
        if len(held) > 1_760:
            held.pop(0).close()
        if len(held) % 20 == 0:
            await asyncio.sleep(0.005)
    return came


async def pictures(url: str, key: str, seconds: float) -> Counter[str]:
    """Five uploads of 39.7 million pixels at once, of one user."""
    picture = largest_picture()
    print("ready", flush=True)
    return await repeated(seconds, 5, lambda _: exchange(url, *upload(key, picture)))


async def jobs_of(url: str, key: str) -> list[str]:
    """The paths of the user's jobs, the newest first."""
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as http:
        jobs = (await http.get("/api/jobs?limit=200")).json()["jobs"]
    return [f"/api/jobs/{job['job_id']}" for job in jobs]


async def held(url: str, said: bytes, seconds: float) -> str:
    """The status that came back to a client that then reads nothing for a while, and leaves."""
    where = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
    except OSError as error:
        return type(error).__name__
    try:
        writer.write(said)
        line = await asyncio.wait_for(reader.readline(), 120)
        if line[9:12] == b"200":
            await asyncio.sleep(seconds)
        return line[9:12].decode() or "closed"
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    finally:
        writer.close()


async def archives(url: str, key: str, seconds: float) -> Counter[str]:
    """40 downloads at once of one user's pictures; they are hardly read."""
    said = head("GET", f"{(await jobs_of(url, key))[-1]}/archive.zip", key)
    return await repeated(seconds, 40, lambda n: held(url, said, n % 4 / 4))


async def polls(url: str, key: str, seconds: float) -> Counter[str]:
    """200 long polls at once of one user, over all of their jobs; every second is soon given up, and asked again."""
    jobs = await jobs_of(url, key)

    async def once(number: int) -> str:
        until = "change" if number % 4 < 2 else "end"
        said = head("GET", f"{jobs[number % len(jobs)]}?wait=30&until={until}", key)
        patience = GIVEN_UP if number % 2 else seconds
        return await given_up(url, said, patience)

    return await repeated(seconds, 200, once)


async def streams(url: str, key: str, seconds: float) -> Counter[str]:
    """200 event streams at once of one user, over all of their jobs, closed as soon as they begin and opened again."""
    jobs = await jobs_of(url, key)
    return await repeated(seconds, 200, lambda n: held(url, head("GET", f"{jobs[n % len(jobs)]}/events", key), 0))


async def reads(url: str, key: str, seconds: float) -> Counter[str]:
    """100 reads at once of one user's largest job."""
    said = head("GET", (await jobs_of(url, key))[0], key)
    return await repeated(seconds, 100, lambda _: exchange(url, said))


async def given_up(url: str, said: bytes, seconds: float) -> str:
    """The status that came back within some seconds, or that the client left."""
    try:
        async with asyncio.timeout(seconds):
            return await exchange(url, said)
    except TimeoutError:
        return "given up"


ATTACKS: Mapping[str, Callable[[str, str, float], Awaitable[Counter[str]]]] = {
    "strangers' bodies": strangers,
    "a user's bodies": documents,
    "half-open heads": heads,
    "large pictures": pictures,
    "archives": archives,
    "polls": polls,
    "streams": streams,
    "reads": reads,
}


async def main(name: str, url: str, key: str, seconds: str) -> None:
    """Attack, and print what came."""
    if name != "large pictures":
        print("ready", flush=True)
    print(json.dumps(await ATTACKS[name](url, key, float(seconds))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
