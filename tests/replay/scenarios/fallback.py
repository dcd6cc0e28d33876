"""A second provider makes what the first one does not."""

from unittest.mock import patch

from tests.replay.application import PROVIDER_ATTEMPTS, Act, Always, ScriptedProvider
from tests.replay.server import Server

BOTH = ["first", "second"]


async def second_provider_without_quota_of_the_first(server: Server) -> None:
    """The first has no quota: the second makes all of it, without a pause."""
    providers = {"first": Always(Act.QUOTA), "second": ScriptedProvider()}
    async with server.stack(providers=providers) as stack:
        await stack.desk.result(await stack.order(4, 3, providers=BOTH))


async def provider_down(server: Server) -> None:
    """The first answers nothing as long as is tried: the batch ends, the second makes the rest."""
    providers = {"first": Always(Act.FAULT), "second": ScriptedProvider()}
    with patch(PROVIDER_ATTEMPTS, 2):
        async with server.stack(providers=providers) as stack:
            await stack.desk.result(await stack.order(5, providers=BOTH))


async def only_provider_down(server: Server) -> None:
    """Nobody is there to take over: what it does not answer is missed."""
    with patch(PROVIDER_ATTEMPTS, 2):
        async with server.stack(ScriptedProvider({(0, 0): [Act.FAULT] * 2})) as stack:
            await stack.desk.result(await stack.order(3))


async def refused_by_the_first(server: Server) -> None:
    """Three refusals end the first one's turn."""
    providers = {"first": Always(Act.REFUSE), "second": ScriptedProvider()}
    async with server.stack(providers=providers, stage_concurrency=1) as stack:
        await stack.desk.result(await stack.order(5, providers=BOTH))


async def refused_in_one_round(server: Server) -> None:
    """What the first refuses in one round the second makes in the next."""
    providers = {"first": Always(Act.REFUSE), "second": ScriptedProvider()}
    async with server.stack(providers=providers) as stack:
        await stack.desk.result(await stack.order(1, 1, providers=BOTH))


async def refused_by_all(server: Server) -> None:
    """Both refuse: the stage stops."""
    providers = {"first": Always(Act.REFUSE), "second": Always(Act.REFUSE)}
    async with server.stack(providers=providers, stage_concurrency=1) as stack:
        await stack.desk.result(await stack.order(5, providers=BOTH))


async def refused_finally(server: Server) -> None:
    """A final refusal stops its stage, asks nobody else, and leaves the other stage alone."""
    first = ScriptedProvider({(0, 0): [Act.REFUSE_FINALLY]})
    async with server.stack(providers={"first": first, "second": ScriptedProvider()}, stage_concurrency=1) as stack:
        await stack.desk.result(await stack.order(3, 2, providers=BOTH))


async def refused_finally_beside_calls_in_progress(server: Server) -> None:
    """The other calls of the stage are finished and salvaged, those that wait are dropped."""
    provider = ScriptedProvider({(0, 1): [Act.REFUSE_FINALLY], (0, 2): [Act.FAULT] * 9})
    provider.gate.clear()
    async with server.stack(provider, stage_concurrency=4) as stack:
        job_id = await stack.order(8)
        await provider.until_calls(4)
        provider.gate.set()
        await stack.desk.result(job_id)


async def refused_thrice(server: Server) -> None:
    """Three refusals without a delivery stop the stage, with one provider."""
    provider = ScriptedProvider({(0, n): [Act.REFUSE] for n in range(9)})
    async with server.stack(provider, stage_concurrency=1) as stack:
        await stack.desk.result(await stack.order(6))
