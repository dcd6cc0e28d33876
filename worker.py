"""Runs a Darkroom worker until SIGTERM or Ctrl-C.

    python worker.py [--role all|orchestrate|generate|publish] ...

It takes no new work on the first signal and leaves when what is under way is finished; on the second it
leaves at once, and Temporal gives its work to another worker. Exit status: 0 stopped, 2 wrong settings,
3 no Temporal server.
"""

import argparse
import asyncio
import os
import signal
import sys
from datetime import timedelta

import structlog

from darkroom import logs
from darkroom.bootstrap import open_parts
from darkroom.domain.errors import DarkroomError, ServerNotReachable, SettingRejected
from darkroom.schedules import ensure_schedules
from darkroom.settings import Settings, read_settings
from darkroom.temporal import connect, ensure_search_attributes
from darkroom.workers import Role, running_workers

log = structlog.get_logger("darkroom.worker")

AT_ONCE = 130


async def serve(settings: Settings, roles: list[Role]) -> None:
    """Work until the first signal, then finish what is under way.

    Raises:
        ServerNotReachable: no Temporal server.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            log.warning("worker left at once")
            sys.stderr.flush()
            os._exit(AT_ONCE)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    client = await connect(settings, metrics_port=settings.metrics_port)
    await ensure_search_attributes(client)
    if {Role.ALL, Role.ORCHESTRATE} & set(roles):
        # Front ends insert jobs into Supabase; the embedded default's are looked for by `up`.
        pick_up = timedelta(seconds=settings.pick_up_every) if settings.on_supabase else None
        housekeeping = timedelta(seconds=settings.housekeeping_every)
        await ensure_schedules(client, waiting_every=pick_up, housekeeping_every=housekeeping)
    async with open_parts(settings) as parts, running_workers(parts, client, roles):
        log.info("worker started", roles=[str(role) for role in roles], uses=parts.describe())
        await stop.wait()
        log.info("worker stopping", note="finishing what is under way; a second signal leaves at once")
    log.info("worker stopped")


def main() -> int:
    """The program; gives its exit status."""
    parser = argparse.ArgumentParser(description="Run a Darkroom worker until SIGTERM or Ctrl-C.")
    parser.add_argument(
        "--role",
        action="append",
        choices=[str(role) for role in Role],
        help="what to serve; may be given several times (default: all)",
    )
    chosen = parser.parse_args().role or [Role.ALL]
    try:
        settings = read_settings()
        logs.configure(settings)
        asyncio.run(serve(settings, [Role(role) for role in chosen]))
    except SettingRejected as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one line a user reads
        return 2
    except ServerNotReachable as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 3
    except DarkroomError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A process that used a Temporal client aborts now and then while the interpreter shuts down
    # (sdk-python #300), which would turn success into status 134.
    os._exit(status)
