"""A server that answers as Gemini does, with the same picture for every call."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


def answer_of(picture: bytes) -> bytes:
    """The body that brings a PNG."""
    inline = {"mimeType": "image/png", "data": base64.b64encode(picture).decode()}
    return json.dumps(
        {"candidates": [{"content": {"parts": [{"inlineData": inline}]}, "finishReason": "STOP"}]}
    ).encode()


@asynccontextmanager
async def answering(answer: bytes, together: int = 1, wait: float = 0.0) -> AsyncIterator[str]:
    """A server that gives this answer to every call.

    Args:
        answer: the body of each.
        together: the first answers leave when so many calls have come.
        wait: seconds that each of them takes as well.

    Yields: the address.
    """
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
        await asyncio.sleep(wait)
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
