"""What commands open: the records, and Temporal when it is needed or at hand."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from darkroom import bootstrap, logs
from darkroom.bootstrap import ADDRESS_FILE, Parts, open_parts, read_address
from darkroom.cli.statuses import InputRejected
from darkroom.domain.errors import JobNotFound, ServerNotReachable, SettingRejected
from darkroom.domain.jobs import JobRow
from darkroom.embedded import EmbeddedServer
from darkroom.settings import Settings, read_settings

T = TypeVar("T")

AT_HAND = timedelta(seconds=2)
"""How long a command that can do without Temporal waits for it."""
PATIENCE = timedelta(seconds=10)
"""How long a command that needs Temporal waits for it."""

_PREFIX = re.compile(r"^[0-9a-f-]{6,35}$")
_ALL = 1_000_000


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work on an event loop of its own."""
    return asyncio.run(work)


def opened_settings() -> Settings:
    """The settings, with log lines going where they belong: to standard error.

    Raises:
        SettingRejected: a value is wrong.
    """
    settings = read_settings()
    logs.configure(settings)
    return settings


def has_records(settings: Settings) -> bool:
    """Whether there is anything to read; opening records that are not there would create them."""
    return (settings.darkroom_home / "records.db").is_file()


def nothing_yet(settings: Settings) -> str:
    """What to say when there is not."""
    return f"no records in {settings.darkroom_home} yet: `starter.py demo` or `starter.py submit` makes the first"


def quiet_runtime() -> Runtime:
    """A runtime whose own log lines go through Python's logging; by default they go to standard output."""
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    filtered = TelemetryFilter(core_level="WARN", other_level="ERROR")
    return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=filtered, forwarding=forwarding)))


async def connect(settings: Settings, patience: timedelta = PATIENCE) -> Client:
    """The Temporal server that the settings name or that `up` left the address of.

    Raises:
        ServerNotReachable: there is none, or it does not answer in time.
        SettingRejected: its address is none.
    """
    try:
        async with asyncio.timeout(patience.total_seconds()):
            return await bootstrap.connect(settings, quiet_runtime())
    except TimeoutError:
        raise ServerNotReachable(
            f"the Temporal server does not answer within {patience.total_seconds():.0f} s: start one with "
            "`python starter.py up`, or check TEMPORAL_ADDRESS"
        ) from None
    except ValueError as error:
        raise SettingRejected(f"TEMPORAL_ADDRESS: must be host:port ({error})") from None


async def connect_if_at_hand(settings: Settings) -> Client | None:
    """The same for a command that can answer from the records: None when no server answers at once."""
    try:
        return await connect(settings, AT_HAND)
    except ServerNotReachable:
        return None


async def connect_embedded(server: EmbeddedServer, runtime: Runtime | None = None) -> Client:
    """Our own server, whatever the environment says of others."""
    return await Client.connect(
        server.address, data_converter=pydantic_data_converter, runtime=runtime or quiet_runtime()
    )


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Parts]:
    """The parts, for a command that only reads.

    Raises:
        JobNotFound: there are no records at all.
    """
    if not has_records(settings):
        raise JobNotFound(nothing_yet(settings))
    async with open_parts(settings) as parts:
        yield parts


@asynccontextmanager
async def desk_for(settings: Settings, job: str) -> AsyncIterator[tuple[Parts, Client, JobRow]]:
    """The parts, Temporal and the job, for a command that needs all three.

    Raises:
        JobNotFound: no such job; found out before a server is looked for.
        ServerNotReachable: no Temporal server.
    """
    async with reading(settings) as parts:
        row = await find_job(parts, job)
        yield parts, await connect(settings), row


async def find_job(parts: Parts, given: str) -> JobRow:
    """The job of a UUID, or of the beginning of one.

    Raises:
        InputRejected: it is neither, or several jobs begin like that.
        JobNotFound: no job has it.
    """
    try:
        return await parts.desk(None).job(UUID(given))
    except ValueError:
        pass
    prefix = given.lower()
    if not _PREFIX.match(prefix):
        raise InputRejected("JOB", f"'{given}' is not a job's id: give its UUID, or the first 6 characters or more")
    found = [row for row in await parts.records.jobs(None, _ALL) if str(row.job_id).startswith(prefix)]
    if not found:
        raise JobNotFound(f"no job's id begins with {prefix}; `starter.py list` shows those that exist")
    if len(found) > 1:
        raise InputRejected("JOB", f"{len(found)} jobs begin with {prefix}: give more of the id")
    return found[0]


def web_page(settings: Settings, client: Client, job_id: UUID) -> str | None:
    """The job's page in the Temporal Web UI, when the client is connected to the embedded server."""
    file = settings.darkroom_home / ADDRESS_FILE
    if not file.is_file():
        return None
    server = EmbeddedServer(**read_address(file))
    return server.job_url(job_id) if client.service_client.config.target_host == server.address else None
