"""Jobs that nobody interrupts."""

from unittest.mock import patch

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from tests.replay.application import Act, Between, ScriptedProvider, job_activities
from tests.replay.server import Server


async def happy(server: Server) -> None:
    """Two stages, nothing goes wrong."""
    async with server.stack() as stack:
        await stack.client.result(await stack.order(3, 2))


async def topped_up(server: Server) -> None:
    """Misses and a fault in two rounds."""
    script = {(0, 1): [Act.MISS], (0, 3): [Act.MISS], (1, 0): [Act.FAULT]}
    async with server.stack(ScriptedProvider(script)) as stack:
        await stack.client.result(await stack.order(3, 2))


async def short(server: Server) -> None:
    """Two rounds of misses: the stage stays short and the job completes."""
    provider = ScriptedProvider({(0, n): [Act.MISS] for n in range(1, 9)})
    async with server.stack(provider) as stack:
        await stack.client.result(await stack.order(3, max_top_ups=2))


async def steps_taken_locally(server: Server) -> None:
    """Calls begin one after the other: only the last picture of each stage is settled locally."""
    async with server.stack(stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(3, 1))


async def local_steps_handed_out(server: Server) -> None:
    """Each step that is taken locally fails the first time."""
    steps = [Between(step) for step in ("open_job", "attach", "credit", "close_job")]
    async with server.stack(interceptors=steps) as stack:

        async def fail(_asked: object) -> None:
            raise ApplicationError("the records are away", category=ApplicationErrorCategory.BENIGN)

        for step in steps:
            step.before = fail
        await stack.client.result(await stack.order(1))


async def free(server: Server) -> None:
    """A job without a user."""
    async with server.stack() as stack:
        stack.user_id = None
        await stack.client.result(await stack.order(2))


async def limited(server: Server) -> None:
    """Two stages share credits that are enough for three of five images."""
    async with server.stack() as stack:
        await stack.client.result(await stack.order(2, 3, max_credits=65))


async def second_page(server: Server) -> None:
    """More images than a batch holds: a second batch in the same round."""
    async with server.stack(stage_concurrency=50) as stack:
        await stack.client.result(await stack.order(501))


async def many_stages(server: Server) -> None:
    """More stages than a payload holds, two at a time: misses, one that stays short, one that is refused."""
    misses = {(0, 0): [Act.MISS], (2, 0): [Act.MISS], (2, 2): [Act.MISS], (2, 3): [Act.MISS]}
    provider = ScriptedProvider({**misses, (3, 0): [Act.REFUSE_FINALLY]})
    with patch.object(job_activities, "ROOM_FOR_STAGES", 300):
        async with server.stack(provider, job_stages_at_once=2) as stack:
            await stack.client.result(await stack.order(1, 2, 2, 1, 1, max_top_ups=1))
