"""Jobs that nobody interrupts."""

from tests.replay.application import Act, ScriptedProvider
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
