"""Images of one batch whose calls end in the same moment: they take their steps together."""

from tests.replay.application import (
    NotAtFirst,
    WorkflowStack,
    batch_workflow_id,
    plant,
    until_batches_ended,
)
from tests.replay.scenarios.refusals import refused
from tests.replay.server import Server

CALLS = 12


async def _all_at_once(stack: WorkflowStack) -> None:
    await stack.end_of(await stack.held(CALLS, calls=CALLS))


async def grouped(server: Server) -> None:
    """Nothing goes wrong."""
    async with server.stack(stage_concurrency=CALLS) as stack:
        await _all_at_once(stack)


async def grouped_but_one(server: Server) -> None:
    """The storage does not take one picture of a group now: it goes alone."""
    storage = NotAtFirst(server.home / "files", "0-3-")
    async with server.stack(storage=storage, stage_concurrency=CALLS) as stack:
        await _all_at_once(stack)


async def group_not_attached(server: Server) -> None:
    """The records refuse a group as a whole."""
    async with server.stack(interceptors=[refused("attach_group")], stage_concurrency=CALLS) as stack:
        await _all_at_once(stack)


async def some_of_a_group_not_attached(server: Server) -> None:
    """The records refuse some pictures of a group."""
    async with server.stack(stage_concurrency=CALLS) as stack:
        job_id = await stack.held(CALLS, calls=CALLS)
        await plant(
            stack,
            "create trigger refusing before insert on quel_attach when new.ordinal between 2 and 9 "
            "begin select raise(abort, 'no such picture'); end",
        )
        await stack.end_of(job_id)


async def one_of_a_group_not_settled(server: Server) -> None:
    """The records refuse to charge for one picture of a group."""
    async with server.stack(stage_concurrency=CALLS) as stack:
        job_id = await stack.held(CALLS, calls=CALLS)
        await plant(
            stack,
            "create trigger refusing before insert on quel_credits when new.idempotency_key like '%/0/3' "
            "begin select raise(abort, 'no such charge'); end",
        )
        await stack.end_of(job_id)


async def salvaged_in_groups(server: Server) -> None:
    """The only batch is terminated: what its calls staged is uploaded in groups of unknown weight."""
    async with server.stack(stage_concurrency=CALLS, max_top_ups=0) as stack:
        job_id = await stack.held(CALLS, calls=CALLS)
        await stack.temporal.get_workflow_handle(batch_workflow_id(job_id, 0, 0, 0)).terminate()
        await until_batches_ended(stack, job_id)
        await stack.end_of(job_id)
