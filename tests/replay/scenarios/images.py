"""What can become of one image between its call and its settlement."""

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from tests.replay.application import (
    AttachInput,
    Between,
    CreditInput,
    GenerateInput,
    UploadInput,
    WorkflowStack,
    plant,
    staging_prefix,
)
from tests.replay.server import Server


async def _settled_elsewhere(stack: WorkflowStack, image: UploadInput, run_id: str) -> None:
    """Another worker, that was taken for dead, was quicker."""
    path = image.key.final(image.user_id, image.call_id)
    found = AttachInput(
        key=image.key, run_id=run_id, call_id=image.call_id, seconds=None, path=path, size=1, sha256="0" * 64
    )
    await stack.parts.records.attach(found)
    await stack.parts.records.settle(image.key, run_id)
    await stack.parts.storage.delete([image.key.staging(image.call_id)])


async def delivered_before_the_upload(server: Server) -> None:
    """The upload finds its image delivered."""
    uploading = Between("upload")
    async with server.stack(interceptors=[uploading]) as stack:

        async def settle(image: UploadInput) -> None:
            run_id = (await stack.row(image.key.job_id)).run_id
            assert run_id is not None
            await _settled_elsewhere(stack, image, run_id)

        uploading.before = settle
        await stack.client.result(await stack.order(2))


async def delivered_before_the_call(server: Server) -> None:
    """The answer of a call is lost, and its second attempt finds the image delivered."""
    generating = Between("generate")
    async with server.stack(interceptors=[generating]) as stack:

        async def settle_and_lose_the_answer(image: GenerateInput) -> None:
            row = await stack.row(image.key.job_id)
            [(_, call_id)] = [
                one
                for one in await stack.parts.records.unsettled_attempts(image.key.job_id, 0, -1, 9)
                if one[0] == image.key.ordinal
            ]
            upload = UploadInput(key=image.key, user_id=row.user_id, call_id=call_id)
            await _settled_elsewhere(stack, upload, image.run_id)
            raise ApplicationError("the answer was lost", category=ApplicationErrorCategory.BENIGN)

        generating.after = settle_and_lose_the_answer
        await stack.client.result(await stack.order(2))


async def staged_bytes_gone(server: Server) -> None:
    """The upload finds nothing in staging: missed, and topped up."""
    uploading = Between("upload")
    async with server.stack(interceptors=[uploading]) as stack:

        async def remove(image: UploadInput) -> None:
            await stack.parts.storage.delete([image.key.staging(image.call_id)])

        uploading.before = remove
        await stack.client.result(await stack.order(2))


async def call_lost(server: Server) -> None:
    """A call ends in an error that is not tried again: lost, and topped up."""
    generating = Between("generate")
    async with server.stack(interceptors=[generating]) as stack:

        async def fail(_image: GenerateInput) -> None:
            raise ApplicationError("something nobody expected", non_retryable=True)

        generating.before = fail
        await stack.client.result(await stack.order(2))


async def not_needed(server: Server) -> None:
    """The stage has its images before the last one is settled."""
    crediting = Between("credit")
    async with server.stack(interceptors=[crediting], stage_concurrency=1) as stack:

        async def be_content(image: CreditInput) -> None:
            await plant(stack, "update quel_job_stages set target = 0 where job_id = :id", id=str(image.key.job_id))

        async def want_all_again(image: CreditInput) -> None:
            await plant(stack, "update quel_job_stages set target = 2 where job_id = :id", id=str(image.key.job_id))

        crediting.before, crediting.after = be_content, want_all_again
        await stack.client.result(await stack.order(2))


async def full_before_the_call(server: Server) -> None:
    """The stage has its images before the last one is asked for: no call, and the next round makes it."""
    generating = Between("generate")
    async with server.stack(interceptors=[generating], stage_concurrency=1) as stack:

        async def be_content(image: GenerateInput) -> None:
            await plant(stack, "update quel_job_stages set target = 0 where job_id = :id", id=str(image.key.job_id))

        async def want_all_again(image: GenerateInput) -> None:
            await plant(stack, "update quel_job_stages set target = 2 where job_id = :id", id=str(image.key.job_id))

        generating.before, generating.after = be_content, want_all_again
        await stack.client.result(await stack.order(2))


async def balance_spent_meanwhile(server: Server) -> None:
    """The settlement finds the balance spent: a permanent fault."""
    crediting = Between("credit")
    async with server.stack(interceptors=[crediting], stage_concurrency=1) as stack:

        async def spend(_image: CreditInput) -> None:
            await plant(stack, "update quel_member set quel_member_credit = 1")

        crediting.before = spend
        await stack.client.result(await stack.order(3))


async def _superseded_before(server: Server, activity_type: str) -> None:
    """The records give the job to another run, and back for the close."""
    working, closing = Between(activity_type), Between("close_job")
    async with server.stack(interceptors=[working, closing], stage_concurrency=1) as stack:
        runs: list[str | None] = []

        async def supersede(image: GenerateInput | AttachInput | CreditInput) -> None:
            runs.append((await stack.row(image.key.job_id)).run_id)
            await plant(stack, "update quel_production_jobs set current_run_id = 'another'")

        async def give_back(_close: object) -> None:
            [run_id] = runs
            await plant(stack, "update quel_production_jobs set current_run_id = :run", run=run_id)

        working.before, closing.before = supersede, give_back
        job_id = await stack.order(3)
        await stack.client.result(job_id)
        assert runs
        await stack.parts.storage.delete(await stack.parts.storage.keys(staging_prefix(job_id)))


async def superseded_before_the_call(server: Server) -> None:
    """Another run has the job: no call is begun, and no other batch."""
    await _superseded_before(server, "generate")


async def superseded_before_the_attachment(server: Server) -> None:
    """Another run has the job when a picture is to be recorded."""
    await _superseded_before(server, "attach")


async def superseded_before_the_settlement(server: Server) -> None:
    """Another run has the job when a picture is to be settled."""
    await _superseded_before(server, "credit")
