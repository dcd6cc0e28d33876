"""Jobs that fail, and runs that may not begin."""

from datetime import timedelta

from pydantic import JsonValue
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.replay.application import (
    Act,
    Between,
    JobInput,
    ScriptedProvider,
    SetControlInput,
    TaskQueue,
    UploadInput,
    heard,
    job_workflow_id,
    movement,
    until,
)
from tests.replay.server import Server

DOCUMENT: dict[str, JsonValue] = {"stages": [{"prompt": "x", "quantity": 2}]}


async def permanent_fault(server: Server) -> None:
    """The key is not valid: what is in progress is delivered, in both stages, and nothing more is begun."""
    provider = ScriptedProvider({(0, 2): [Act.STOP]})
    async with server.stack(provider) as stack:
        await stack.client.result(await stack.order(6, 30))


async def provider_fails_for_long(server: Server) -> None:
    """A provider answers nothing but faults: the table in the Web UI says so, until a picture comes."""
    usual = movement.TABLE_REFRESHED_EVERY
    movement.TABLE_REFRESHED_EVERY = timedelta(seconds=0.5)  # of a minute; how long a timer is, no replay asks
    try:
        async with server.stack(ScriptedProvider({(0, 0): [Act.FAULT] * 3}), stage_concurrency=1) as stack:
            job_id = await stack.order(3)

            async def shown() -> bool:
                return await heard(stack, job_id, "record_faults") > 0

            await until(shown, "the retries in the history")
            await stack.client.result(job_id)
    finally:
        movement.TABLE_REFRESHED_EVERY = usual


async def storage_refuses(server: Server) -> None:
    """The final place of a picture cannot be written: a permanent fault of the upload."""
    uploading = Between("upload")
    async with server.stack(interceptors=[uploading]) as stack:

        async def block(image: UploadInput) -> None:
            # Refused by the operating system whoever records, an administrator included.
            (server.home / "files" / image.key.final(image.user_id, image.call_id)).mkdir(parents=True)

        uploading.before = block
        await stack.client.result(await stack.order(3))


async def insufficient_credits(server: Server) -> None:
    """The balance does not cover the order: failed when it opens."""
    async with server.stack(opening_balance=59) as stack:
        await stack.client.result(await stack.order(3))


async def rejected(server: Server) -> None:
    """A front end's order that is wrong fails when it opens."""
    async with server.stack() as stack:
        job_id = await stack.stored({"stages": [{"prompt": "", "quantity": 2}]})
        await stack.client.start_waiting_jobs()
        await stack.client.result(job_id)


async def superseded_at_open(server: Server) -> None:
    """Cancelled before its workflow came: the late run does nothing."""
    async with server.stack() as stack:
        job_id = await stack.stored(DOCUMENT)
        await stack.client.cancel(job_id)
        handle = await stack.temporal.start_workflow(
            "PipelineJobWorkflow", JobInput(job_id=job_id), id=job_workflow_id(job_id), task_queue=TaskQueue.ORCHESTRATE
        )
        await handle.result()


async def control_not_written(server: Server) -> None:
    """A pause that the records refuse for good fails the workflow, which says so."""
    writing = Between("set_control")
    async with server.stack(interceptors=[writing]) as stack:

        async def refuse(_asked: SetControlInput) -> None:
            raise ApplicationError("the records refuse it", non_retryable=True)

        writing.before = refuse
        stack.provider.gate.clear()
        job_id = await stack.order(2)
        await stack.provider.until_calls(2)
        await stack.client.pause(job_id)
        try:
            await stack.client.result(job_id)
        except WorkflowFailureError:
            stack.provider.gate.set()
        else:
            raise AssertionError("the workflow did not fail")
