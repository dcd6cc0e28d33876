"""What commands open: the records, and Temporal when it is needed or reachable."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import UUID

from temporalio.client import Client as TemporalClient

from cli.statuses import InputRejected
from darkroom.bootstrap import Parts, has_records, open_parts
from darkroom.client.connection import AT_HAND, connect
from darkroom.domain.errors import JobNotFound, ServerNotReachable
from darkroom.domain.jobs import JobRow
from darkroom.embedded.address import embedded_address
from darkroom.settings import Settings

T = TypeVar("T")

_PREFIX = re.compile(r"^[0-9a-f-]{6,35}$")


def nothing_yet(settings: Settings) -> str:
    """What to say when there are no records."""
    return f"no records in {settings.darkroom_home} yet: run `darkroom demo` or `darkroom submit FILE` first"


async def connect_if_at_hand(settings: Settings) -> TemporalClient | None:
    """A connection for a command that can answer from the records too: None when no server answers at once."""
    try:
        return await connect(settings, AT_HAND)
    except ServerNotReachable:
        return None


@asynccontextmanager
async def existing_parts(settings: Settings) -> AsyncIterator[Parts]:
    """The parts, for a command that only reads.

    Raises:
        JobNotFound: there are no records at all.
    """
    if not has_records(settings):
        raise JobNotFound(nothing_yet(settings))
    async with open_parts(settings) as parts:
        yield parts


@asynccontextmanager
async def client_for(settings: Settings, job: str) -> AsyncIterator[tuple[Parts, TemporalClient, JobRow]]:
    """The parts, Temporal and the job, for a command that needs all three.

    Raises:
        JobNotFound: no such job; checked before connecting to a server.
        ServerNotReachable: no Temporal server.
    """
    async with existing_parts(settings) as parts:
        row = await find_job(parts, job)
        yield parts, await connect(settings), row


async def find_job(parts: Parts, given: str) -> JobRow:
    """The job of a UUID, or of the beginning of one.

    Raises:
        InputRejected: it is neither, or several jobs begin like that.
        JobNotFound: no job has it.
    """
    try:
        return await parts.client(None).job(UUID(given))
    except ValueError:
        pass
    prefix = given.lower()
    if not _PREFIX.match(prefix):
        raise InputRejected("JOB", f"'{given}' is not a job id: give its UUID, or at least the first 6 characters")
    found = await parts.records.jobs_beginning(prefix, limit=2)
    if not found:
        raise JobNotFound(f"no job id begins with {prefix}; `darkroom list` shows all jobs")
    if len(found) > 1:
        raise InputRejected("JOB", f"several job ids begin with {prefix}: give more characters")
    return found[0]


def web_page(settings: Settings, temporal: TemporalClient, job_id: UUID) -> str | None:
    """The job's page in the Temporal Web UI, when the client is connected to the embedded server."""
    server = embedded_address(settings)
    if server is None or temporal.service_client.config.target_host != server.address:
        return None
    return server.job_url(job_id)
