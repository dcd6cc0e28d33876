"""A second provider makes what the first one does not."""

import asyncio
from unittest.mock import patch

from tests.replay.application import (
    PROVIDER_ATTEMPTS,
    Act,
    Always,
    Between,
    CreditInput,
    GenerateInput,
    ScriptedProvider,
)
from tests.replay.server import Server

BOTH = ["first", "second"]


async def second_provider_without_quota_of_the_first(server: Server) -> None:
    """The first has no quota: the second makes all of it, without a pause."""
    providers = {"first": Always(Act.QUOTA), "second": ScriptedProvider()}
    async with server.stack(providers=providers) as stack:
        await stack.client.result(await stack.order(4, 3, providers=BOTH))


async def provider_down(server: Server) -> None:
    """The first answers nothing as long as is tried: the batch ends, the second makes the rest."""
    providers = {"first": Always(Act.FAULT), "second": ScriptedProvider()}
    with patch(PROVIDER_ATTEMPTS, 2):
        async with server.stack(providers=providers) as stack:
            await stack.client.result(await stack.order(5, providers=BOTH))


async def only_provider_down(server: Server) -> None:
    """Nobody is there to take over: what it does not answer is missed."""
    with patch(PROVIDER_ATTEMPTS, 2):
        async with server.stack(ScriptedProvider({(0, 0): [Act.FAULT] * 2})) as stack:
            await stack.client.result(await stack.order(3))


async def refused_by_the_first(server: Server) -> None:
    """Three refusals end the first one's turn."""
    providers = {"first": Always(Act.REFUSE), "second": ScriptedProvider()}
    async with server.stack(providers=providers, stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(5, providers=BOTH))


async def refused_in_one_round(server: Server) -> None:
    """What the first refuses in one round the second makes in the next."""
    providers = {"first": Always(Act.REFUSE), "second": ScriptedProvider()}
    async with server.stack(providers=providers) as stack:
        await stack.client.result(await stack.order(1, 1, providers=BOTH))


async def refused_by_all(server: Server) -> None:
    """Both refuse: the stage stops."""
    providers = {"first": Always(Act.REFUSE), "second": Always(Act.REFUSE)}
    async with server.stack(providers=providers, stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(5, providers=BOTH))


async def refused_finally(server: Server) -> None:
    """A final refusal stops its stage, asks nobody else, and leaves the other stage alone."""
    first = ScriptedProvider({(0, 0): [Act.REFUSE_FINALLY]})
    async with server.stack(providers={"first": first, "second": ScriptedProvider()}, stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(3, 2, providers=BOTH))


async def refused_finally_beside_calls_in_progress(server: Server) -> None:
    """The other calls of the stage are finished and salvaged, those that wait are dropped."""
    provider = ScriptedProvider({(0, 1): [Act.REFUSE_FINALLY], (0, 2): [Act.FAULT] * 9})
    provider.gate.clear()
    async with server.stack(provider, stage_concurrency=4) as stack:
        job_id = await stack.order(8)
        await provider.until_calls(4)
        provider.gate.set()
        await stack.client.result(job_id)


async def refused_thrice(server: Server) -> None:
    """Three refusals without a delivery stop the stage, with one provider."""
    provider = ScriptedProvider({(0, n): [Act.REFUSE] for n in range(9)})
    async with server.stack(provider, stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(6))


async def refused_as_another_begins(server: Server) -> None:
    """A final refusal comes in the same task in which another call begins: it is dropped before it is begun."""
    stages, refused = 8, 3
    script = {(stage, refused): [Act.REFUSE_FINALLY] for stage in range(stages)}
    crediting, generating = Between("credit"), Between("generate")
    answered = [asyncio.Event() for _ in range(stages)]
    ready, let_go = asyncio.Semaphore(0), asyncio.Event()

    async def hold_the_credit(image: CreditInput) -> None:
        crediting.before = hold_the_credit
        ready.release()
        # Of each stage's first images one is settled now, which makes room for the next call, the others later.
        await (let_go.wait() if image.key.ordinal == 0 else answered[image.key.stage_index].wait())

    async def let_the_refusal_go(image: CreditInput) -> None:
        crediting.after = let_the_refusal_go
        answered[image.key.stage_index].set()

    async def hold_the_refusal(image: GenerateInput) -> None:
        generating.after = hold_the_refusal
        if image.key.ordinal == refused:
            ready.release()
            await answered[image.key.stage_index].wait()

    async with server.stack(ScriptedProvider(script), interceptors=[crediting, generating]) as stack:
        crediting.before, crediting.after = hold_the_credit, let_the_refusal_go
        generating.after = hold_the_refusal
        job_id = await stack.order(*[8] * stages)
        for _ in range(stages * (refused + 1)):
            await ready.acquire()
        let_go.set()
        await stack.client.result(job_id)
