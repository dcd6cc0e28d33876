"""Serves the Temporal Web UI of a deployment, in front of its own container, until SIGTERM or Ctrl-C.

    python -m darkroom.embedded.web_ui_listener --files http://temporal-ui:8080 \
        --api http://temporal:7243 --api-host-file /run/temporal/http-host

Only what comes from its own pages at its own address passes (`darkroom.embedded.web_ui`). The Web UI has files and
settings and reaches no server; what the pages ask of the API goes to the HTTP port of the server that has the jobs,
which answers only to the `Host` that the file names, and that no web page can guess.

Exit status: 0 stopped, 2 invalid arguments, 5 the port is in use.
"""

import argparse
import asyncio
import signal
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from darkroom.domain.errors import DarkroomError, SettingRejected
from darkroom.embedded.ports import listening
from darkroom.embedded.web_ui import Upstream, WebUi, serving_web_ui

DEFAULT_PORT = 8080
SHORTEST_HOST = 16
"""Characters of a name that cannot be guessed."""


def main(arguments: list[str] | None = None) -> int:
    """The program; gives its exit status."""
    given = parser().parse_args(arguments)
    try:
        uvloop.run(_serve(given))
    except KeyboardInterrupt:
        return 0
    except DarkroomError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one line a user reads
        return 2 if isinstance(error, SettingRejected) else 5
    return 0


def parser() -> argparse.ArgumentParser:
    """What it is started with."""
    found = argparse.ArgumentParser(
        prog="python -m darkroom.embedded.web_ui_listener",
        description="Serve the Temporal Web UI to its own pages alone, until SIGTERM or Ctrl-C.",
    )
    found.add_argument("--files", required=True, metavar="URL", help="the Web UI, of which files and settings are used")
    found.add_argument("--api", required=True, metavar="URL", help="the HTTP port of the Temporal server")
    found.add_argument(
        "--api-host-file",
        required=True,
        type=Path,
        metavar="FILE",
        help="holds the Host that the server's port answers",
    )
    found.add_argument("--grpc", required=True, metavar="ADDRESS", help="the same server by gRPC, host:port")
    found.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    found.add_argument("--port", default=DEFAULT_PORT, type=int, help=f"the port to listen on ({DEFAULT_PORT})")
    found.add_argument(
        "--name", action="append", default=[], help="a name this address is known by, besides localhost; repeatable"
    )
    return found


async def _serve(given: argparse.Namespace) -> None:
    files, api = _address("--files", given.files), _address("--api", given.api)

    async def of_files() -> str:
        return files

    upstream = Upstream(of_files, (api, _host_of(given.api_host_file)), given.grpc)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with closing(listening(given.port, "--port", any_port=False, host=given.host)) as sock:
        async with serving_web_ui(WebUi(upstream, frozenset(name.lower() for name in given.name)), sock):
            print(f"the Temporal Web UI is served at {given.host}:{sock.getsockname()[1]}", flush=True)  # noqa: T201
            await stop.wait()


def _address(option: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise SettingRejected(f"{option} {url}: must be a URL without a path, such as http://temporal:7243")
    return url.rstrip("/")


def _host_of(file: Path) -> str:
    try:
        name = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise SettingRejected(f"--api-host-file {file}: {reason}; deploy/temporal/config.sh writes it") from None
    if len(name) < SHORTEST_HOST or not name.replace(".", "").replace("-", "").isalnum():
        raise SettingRejected(
            f"--api-host-file {file}: must hold a name of at least {SHORTEST_HOST} letters and digits"
        )
    return name


if __name__ == "__main__":
    sys.exit(main())
