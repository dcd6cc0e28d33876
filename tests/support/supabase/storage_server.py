"""A local server that behaves as Supabase Storage does (supabase.md), errors included.

In a test::

    with running_storage(folder) as storage:          # in a thread of its own
        ...  # SUPABASE_URL is storage.url, SUPABASE_SERVICE_ROLE_KEY is storage.key
        storage.faults = Faults(every=3)               # from now on, every third call answers 500

For whole processes::

    python -m tests.support.supabase.storage_server --port 8766 --folder FOLDER

The routes are at the root and below `/storage/v1`. `PUT /control` with the fields of `Faults` in JSON switches
faults on, `{}` off again; `GET /control` shows them and how often each operation was called.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path

from tests.support.supabase.storage_faults import Faults, Trouble, Wrong
from tests.support.supabase.storage_objects import Objects, Refused
from tests.support.supabase.storage_routes import OPERATIONS, Routes, operation_of
from tests.support.supabase.storage_wire import READ_AHEAD, Answer, Request, as_json, receive, reply

KEY = "service-role-key-of-the-local-storage"
"""The key that is right unless another one is given; long enough to sign with."""


class StorageServer:
    """The server. `faults` may be set and `calls` read from any thread."""

    def __init__(self, folder: Path, key: str = KEY, jwt_secret: str | None = None, port: int = 0) -> None:
        self.key = key
        """The key that is right; with `jwt_secret`, so is every token of the service role that it signed."""
        self.objects = Objects(folder)
        self.calls: Counter[str] = Counter()
        """How often each operation was called."""
        self.port = port
        self._routes = Routes(self.objects, key, jwt_secret)
        self._trouble = Trouble(Faults())
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """What SUPABASE_URL is to be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def faults(self) -> Faults:
        return self._trouble.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._trouble = Trouble(faults)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen on this loop until the block ends."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=READ_AHEAD)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # A client that hangs up is no fault of the server, and neither is the end of the server: asyncio
            # before 3.12 reports a handler that was cancelled.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may be used again."""
        request = await receive(reader)
        if request.path == ("control",):
            await reply(writer, self._control(request))
            return True
        operation = operation_of(request)
        self.calls[operation] += 1
        trouble = self._trouble
        concerned = trouble.concerns(operation)
        if concerned and trouble.faults.down:
            return False
        answer = await trouble.instead() if concerned else None
        answer = answer or self._routes.answer(operation, request)
        if concerned and trouble.stalls():
            await reader.read()  # comes back when the client hangs up
            return False
        await reply(writer, answer, with_body=request.method != "HEAD")
        if request.headers.get("connection", "").lower() == "close":
            writer.close()  # lets the answer arrive first
            await writer.wait_closed()
            return False
        return True

    def _control(self, request: Request) -> Answer:
        if request.method == "PUT":
            try:
                given = request.json()
                unknown = set(given.get("operations", ())) - set(OPERATIONS)
                if unknown:
                    return as_json({"message": f"no such operation: {', '.join(sorted(unknown))}"}, 400)
                wanted = {"operations": frozenset(given.pop("operations", ())), "answer": given.pop("answer", "500")}
                self.faults = Faults(**{**given, **wanted, "answer": Wrong(wanted["answer"])})
            except (Refused, TypeError, ValueError) as problem:
                return as_json({"message": str(problem)}, 400)
        faults = {**asdict(self.faults), "operations": sorted(self.faults.operations)}
        return as_json({"faults": faults, "calls": dict(self.calls)})


@contextlib.contextmanager
def running_storage(folder: Path, key: str = KEY, jwt_secret: str | None = None) -> Iterator[StorageServer]:
    """A server in a thread of its own, so that any loop and any process may call it."""
    server = StorageServer(folder, key, jwt_secret)
    loop = asyncio.new_event_loop()
    serving = server.serving()
    thread = threading.Thread(target=loop.run_forever, name="storage server", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _run(server: StorageServer) -> None:
    stopped = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    async with server.serving():
        sys.stdout.write(f"storage at {server.url}, key {server.key}\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> None:
    """Serve until interrupted; the address is on the first line of output."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.supabase.storage_server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--folder", type=Path, required=True, help="where buckets and objects are kept")
    parser.add_argument("--key", default=KEY, help=f"the key that is right (default {KEY})")
    parser.add_argument("--jwt-secret", help="with it, tokens of the service role that it signed are right too")
    given = parser.parse_args()
    asyncio.run(_run(StorageServer(given.folder, given.key, given.jwt_secret, given.port)))


if __name__ == "__main__":
    main()
