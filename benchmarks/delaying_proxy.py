"""A connection with a delay: `python -m benchmarks.delaying_proxy HOST:PORT SECONDS` prints its port and passes on.

What a client sends arrives so much later, in its order; answers pass at once. So each request takes that much longer,
as to a database in another place, and nothing waits for another one's delay.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

HOST = "127.0.0.1"
START_PATIENCE = 30.0
CHUNK = 65_536


class Proxy:
    """Passes connections on."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        self._target = host, port
        self._delay = delay

    async def serve(self) -> None:
        """Listen on a free port and print it."""
        server = await asyncio.start_server(self._connected, HOST, 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._late(reader, back), _at_once(there, writer))

    async def _late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each part so long after it came, however long the one before it still has to wait."""
        clock = asyncio.get_running_loop().time
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def pass_on() -> None:
            data = b"-"
            while data:
                due, data = await waiting.get()
                await asyncio.sleep(due - clock())
                writer.write(data)
            writer.close()

        passing = asyncio.create_task(pass_on())
        data = b"-"
        while data:
            data = await _read(reader)
            waiting.put_nowait((clock() + self._delay, data))
        await passing


async def _at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await _read(reader):
        writer.write(data)
    writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(CHUNK)
    except ConnectionError:
        return b""


@asynccontextmanager
async def delayed(url: str, seconds: float) -> AsyncIterator[str]:
    """The address at which what is at `url` answers so much later; the proxy is a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.delaying_proxy", urlsplit(url).netloc, str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), START_PATIENCE))
        yield f"http://{HOST}:{port}"
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    target_host, _, target_port = sys.argv[1].rpartition(":")
    asyncio.run(Proxy(target_host, int(target_port), float(sys.argv[2])).serve())
