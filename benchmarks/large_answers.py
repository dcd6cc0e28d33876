"""Memory with large answers: 24 calls of 4K pictures that end together, over HTTP and through the provider's SDK."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from PIL import Image

from benchmarks.figures import Asked, Figure, Side
from benchmarks.measurements import MB, Bench
from benchmarks.usage import peak_of
from benchmarks.work import Work
from benchmarks.worker_process import Kind
from darkroom.domain.formats import ImageFormat

CALLS = 24
"""The default of PROVIDER_CONCURRENCY for one process."""
SIZE = (5504, 3072)
"""Of a 4K picture of 16:9."""
GRAIN = 6
"""Standard deviation of its noise."""


async def large_answers(bench: Bench) -> list[Figure]:
    """The peak of a worker and its children while 24 answers of 20 MB come at the same moment."""
    calls = bench.count(CALLS, 2)
    answer = _answer(_picture(bench.count(SIZE[0], 640), bench.count(SIZE[1], 360)))
    figures = []
    for made in (ImageFormat.WEBP, ImageFormat.AVIF):
        work = Work(stages=1, images=calls, format=made)
        async with (
            _answering(answer, calls) as address,
            bench.server(f"large-{made}") as server,
            server.worker(Kind.DARKROOM, work, answers_at=address) as worker,
            peak_of(worker.pid) as peak,
        ):
            run = await server.run_many(worker, work, 1, 1)
        exact = "exact" if run.exact else "NOT EXACT"
        what = f"{calls} answers of {len(answer) / MB:.0f} MB at once, delivered as {made}: peak memory"
        figures.append(
            Figure(
                name=f"large-answers-{made}",
                what=what,
                unit="MB",
                value=peak.bytes / MB,
                asked=Asked(side=Side.AT_MOST, bound=900) if made is ImageFormat.WEBP else None,
                note=f"worker and decoding processes, proportional set size; {run.seconds:.0f} s, {exact}",
            )
        )
    return figures


def _picture(across: int, down: int) -> bytes:
    """With grain: a PNG of 20 MB at the size of 4K, as photographs are."""
    grain = Image.effect_noise((across, down), GRAIN)
    light = Image.linear_gradient("L").resize((across, down))
    target = io.BytesIO()
    Image.merge("RGB", (grain, grain.point([value >> 5 for value in range(256)]), light)).save(
        target, "PNG", compress_level=1
    )
    return target.getvalue()


def _answer(picture: bytes) -> bytes:
    inline = {"mimeType": "image/png", "data": base64.b64encode(picture).decode()}
    return json.dumps(
        {"candidates": [{"content": {"parts": [{"inlineData": inline}]}, "finishReason": "STOP"}]}
    ).encode()


@asynccontextmanager
async def _answering(answer: bytes, together: int) -> AsyncIterator[str]:
    """A server that speaks Gemini's format; the first answers leave when so many calls have come."""
    came = 0
    enough = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(_length(head.split(b"\r\n")))
        came += 1
        if came >= together:
            enough.set()
        await enough.wait()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n" % len(answer)
        )
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _length(lines: Sequence[bytes]) -> int:
    return next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)
