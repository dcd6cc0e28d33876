"""Daily quotas that are spent, and lifted again."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.replay.application import (
    Act,
    Always,
    ImageRequest,
    ProviderAnswer,
    ScriptedProvider,
    WorkflowStack,
    until_batches_ended,
    until_heard,
    until_paused,
)
from tests.replay.server import Server


def _back_in(hours: float, provider: ScriptedProvider) -> ScriptedProvider:
    provider.quota_until = datetime.now(UTC) + timedelta(hours=hours)
    return provider


async def quota_spent(server: Server) -> None:
    """The only provider's quota is spent: paused until it is back."""
    provider = _back_in(5, ScriptedProvider({(0, 1): [Act.QUOTA]}))
    async with server.stack(provider, skipping=True, stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(3))


async def quota_back_already(server: Server) -> None:
    """A quota that claims to be back, twice: a minute's pause each time."""
    provider = _back_in(-1, ScriptedProvider({(0, 0): [Act.QUOTA] * 2}))
    async with server.stack(provider, skipping=True, stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(1))


async def quota_pauses_grow(server: Server) -> None:
    """A quota that is back late, and then claims to be back three times: each pause is longer than the last one."""
    provider = _back_in(5, ScriptedProvider({(0, 0): [Act.QUOTA] * 4}))
    async with server.stack(provider, skipping=True, stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(2))


async def quota_pauses_other_stages(server: Server) -> None:
    """One stage meets the spent quota, the other pauses too; somebody resumes both."""
    provider = _back_in(5, ScriptedProvider({(0, 0): [Act.QUOTA]}))
    provider.gate.clear()
    async with server.stack(provider, stage_concurrency=1) as stack:
        job_id = await stack.order(2, 3)
        await provider.until_calls(2)
        provider.gate.set()
        await until_batches_ended(stack, job_id, 2)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)


async def _paused_by_the_user_too(stack: WorkflowStack) -> UUID:
    stack.provider.gate.clear()
    job_id = await stack.order(2)
    await stack.provider.until_calls(1)
    await stack.client.pause(job_id, "lunch")
    await until_heard(stack, job_id, "set_control", 1)
    stack.provider.gate.set()
    await until_heard(stack, job_id, "set_control", 2)
    return job_id


async def quota_back_in_a_users_pause(server: Server) -> None:
    """The quota is back, the user's pause stays."""
    provider = _back_in(5, ScriptedProvider({(0, 0): [Act.QUOTA]}))
    async with server.stack(provider, skipping=True, stage_concurrency=1) as stack:
        job_id = await _paused_by_the_user_too(stack)
        await until_heard(stack, job_id, "set_control", 3)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)


async def user_pause_in_a_quota_pause(server: Server) -> None:
    """The user pauses what is paused by a quota already; one resume lifts both."""
    provider = _back_in(5, ScriptedProvider({(0, 0): [Act.QUOTA]}))
    async with server.stack(provider, stage_concurrency=1) as stack:
        job_id = await stack.order(2)
        await until_paused(stack, job_id)
        await stack.handle(job_id).signal("pause")  # the front door says that the job is paused already
        await until_heard(stack, job_id, "set_control", 2)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)


async def cancelled_in_a_quota_pause(server: Server) -> None:
    """Cancelled while paused by a quota."""
    provider = _back_in(5, ScriptedProvider({(0, 1): [Act.QUOTA]}))
    async with server.stack(provider, stage_concurrency=1) as stack:
        job_id = await stack.order(3)
        await until_batches_ended(stack, job_id)
        await stack.client.cancel(job_id)
        await stack.client.result(job_id)


async def quotas_of_all_spent(server: Server) -> None:
    """The second takes over from the first, then its quota is spent too: paused until the first of them is back."""
    first, second = Always(Act.QUOTA), Always(Act.QUOTA)
    _back_in(5, first)
    _back_in(2, second)
    async with server.stack(skipping=True, providers={"first": first, "second": second}) as stack:
        job_id = await stack.order(3, providers=["first", "second"])
        await until_paused(stack, job_id)
        second.act = Act.DRAW
        await stack.client.result(job_id)


async def only_the_willing_one_has_spent_its_quota(server: Server) -> None:
    """The first refuses the stage and the second has no quota: the only stage waits, so the job pauses."""
    first, second = Always(Act.REFUSE), _back_in(2, ScriptedProvider({(0, n): [Act.QUOTA] for n in range(9)}))
    async with server.stack(skipping=True, providers={"first": first, "second": second}, stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(4, providers=["first", "second"]))


class _ByStage(ScriptedProvider):
    """Refuses the first stage; the second one's calls wait for the gate."""

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        if request.stage_index == 0:
            return self._answer(Act.REFUSE)
        return await super().generate(request)


async def one_stage_waits_for_a_quota(server: Server) -> None:
    """Refused by the first, a stage waits for the second's quota while the other goes on; then the job pauses."""
    first, second = _ByStage(), _back_in(2, ScriptedProvider({(0, n): [Act.QUOTA] for n in range(9)}))
    first.gate.clear()
    async with server.stack(skipping=True, providers={"first": first, "second": second}, stage_concurrency=1) as stack:
        job_id = await stack.order(4, 2, providers=["first", "second"])
        await second.until_calls(1)
        # The stage that waits has read the records after each of its batches.
        await until_batches_ended(stack, job_id, 2)
        first.gate.set()
        await stack.client.result(job_id)


async def cancelled_while_one_stage_waits_for_a_quota(server: Server) -> None:
    """A stage that waits for a quota alone is cancelled with its job."""
    first, second = _ByStage(), _back_in(2, ScriptedProvider({(0, n): [Act.QUOTA] for n in range(9)}))
    first.gate.clear()
    async with server.stack(providers={"first": first, "second": second}, stage_concurrency=1) as stack:
        job_id = await stack.order(4, 2, providers=["first", "second"])
        await second.until_calls(1)
        await until_batches_ended(stack, job_id, 2)
        await stack.client.cancel(job_id)
        await until_heard(stack, job_id, "set_control", 1)
        first.gate.set()
        await stack.client.result(job_id)


class _LaterForTheSecondStage(Always):
    """The answer to the second stage says that the quota is back an hour later than the first was told."""

    def __init__(self) -> None:
        super().__init__(Act.QUOTA)
        self.may_answer = asyncio.Event()

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        if request.stage_index == 1 and not self.may_answer.is_set():
            await self.may_answer.wait()
            self.quota_until += timedelta(hours=1)
        return await super().generate(request)


async def quota_spent_anew(server: Server) -> None:
    """The quota turns out to be back later than was said first: paused once more."""
    first = _LaterForTheSecondStage()
    async with server.stack(skipping=True, providers={"first": first}) as stack:
        job_id = await stack.order(1, 1, providers=["first"])
        await until_paused(stack, job_id)
        first.may_answer.set()
        await first.until_calls(2)
        first.act = Act.DRAW
        await stack.client.result(job_id)
