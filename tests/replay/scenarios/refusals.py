"""Jobs whose records refuse for good what one of their activities asks."""

from typing import Any

from temporalio.exceptions import ApplicationError

from tests.replay.application import Between
from tests.replay.server import Server


def refused(activity_type: str) -> Between:
    """The first activity of a type fails as if the records had refused it."""
    refusing = Between(activity_type)

    async def refuse(_: Any) -> None:
        raise ApplicationError("the records refuse it", type="RecordsRefused", non_retryable=True)

    refusing.before = refuse
    return refusing


async def _play(server: Server, activity_type: str) -> None:
    async with server.stack(interceptors=[refused(activity_type)]) as stack:
        await stack.client.result(await stack.order(3, 3))


async def open_refused(server: Server) -> None:
    """The run is not opened: it is closed as one that failed."""
    await _play(server, "open_job")


async def ordinals_refused(server: Server) -> None:
    """One stage cannot begin: the other ends what is in progress."""
    await _play(server, "next_ordinals")


async def call_refused(server: Server) -> None:
    """A call cannot be begun."""
    await _play(server, "generate")


async def attach_refused(server: Server) -> None:
    """A stored picture cannot be recorded."""
    await _play(server, "attach")


async def staged_refused(server: Server) -> None:
    """What is staged cannot be looked for after a cancel."""
    async with server.stack(interceptors=[refused("find_staged")]) as stack:
        job_id = await stack.held(2, calls=2)
        await stack.client.cancel(job_id)
        await stack.until_cancelling(job_id)
        await stack.end_of(job_id)


async def control_refused(server: Server) -> None:
    """A pause cannot be written on the row: the batches are told, and the job ends."""
    async with server.stack(interceptors=[refused("set_control")]) as stack:
        job_id = await stack.held(2, calls=2)
        await stack.client.pause(job_id)
        await stack.end_of(job_id)
