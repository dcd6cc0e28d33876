"""How a job closes: its book, its webhook, what it leaves in staging."""

from typing import Any
from uuid import UUID, uuid4

from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.replay.application import (
    LOCAL_USER,
    Act,
    Between,
    Book,
    Receiver,
    ScriptedProvider,
    WorkflowStack,
    until_heard,
    webhook_workflow_id,
)
from tests.replay.server import Server


async def _book_ordered(stack: WorkflowStack, pages: int) -> UUID:
    book = Book(book_id=uuid4(), user_id=LOCAL_USER, base_path="books/one")
    await stack.parts.records.ensure_book(book)
    document: dict[str, Any] = {
        "style": "fantasy",
        "pages": [{"dialogues": [f"Page {n} begins."]} for n in range(pages)],
        "book_id": str(book.book_id),
    }
    job_id = uuid4()
    await stack.client.submit(await stack.client.check(document, LOCAL_USER), job_id=job_id)
    return job_id


async def storybook(server: Server) -> None:
    """A page a stage, the cover at the end."""
    async with server.stack() as stack:
        await stack.client.result(await _book_ordered(stack, 3))


async def storybook_short(server: Server) -> None:
    """A page that never comes, and a webhook-less end."""
    provider = ScriptedProvider({(0, n): [Act.MISS] for n in range(9)})
    async with server.stack(provider) as stack:
        await stack.client.result(await _book_ordered(stack, 2))


async def storybook_unfinished(server: Server) -> None:
    """The book cannot be finished: the job closes without its cover."""
    finishing = Between("finish_book")
    async with server.stack(interceptors=[finishing]) as stack:

        async def fail(_book: object) -> None:
            raise ApplicationError("the book cannot be written", non_retryable=True)

        finishing.before = fail
        await stack.client.result(await _book_ordered(stack, 2))


async def leftovers_stay(server: Server) -> None:
    """Staging cannot be emptied: the job completes all the same."""
    cleaning = Between("remove_leftovers")
    async with server.stack(interceptors=[cleaning]) as stack:

        async def fail(_run: object) -> None:
            raise ApplicationError("staging cannot be read", non_retryable=True)

        cleaning.before = fail
        await stack.client.result(await stack.order(2))


async def _webhook_name(stack: WorkflowStack, job_id: UUID) -> str:
    return webhook_workflow_id(job_id, (await stack.row(job_id)).run_id)


async def announced(server: Server) -> None:
    """A job whose end is told, at the second attempt."""
    async with Receiver("500") as receiver, server.stack() as stack:
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.client.result(job_id)
        await receiver.events(2)
        await stack.temporal.get_workflow_handle(await _webhook_name(stack, job_id)).result()


async def announced_cancelled(server: Server) -> None:
    """The end of a cancelled job is told, between its close and its clean-up."""
    async with Receiver() as receiver, server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(3, webhook_url=receiver.hook)
        await stack.provider.until_calls(2)
        await stack.client.cancel(job_id)
        await until_heard(stack, job_id, "set_control", 1)
        stack.provider.gate.set()
        await stack.client.result(job_id)
        await stack.temporal.get_workflow_handle(await _webhook_name(stack, job_id)).result()


async def webhook_given_up(server: Server) -> None:
    """The receiver is gone for good: the webhook's workflow fails, the job does not."""
    async with Receiver(then="410") as receiver, server.stack() as stack:
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.client.result(job_id)
        try:
            await stack.temporal.get_workflow_handle(await _webhook_name(stack, job_id)).result()
        except WorkflowFailureError:
            return
        raise AssertionError("the webhook was taken")


async def webhook_not_started(server: Server) -> None:
    """Another workflow has the webhook's id, as after a reset: the job ends without telling twice."""
    async with Receiver() as receiver, server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.provider.until_calls(1)
        name = await _webhook_name(stack, job_id)
        other = await stack.temporal.start_workflow("NobodyRunsThis", id=name, task_queue="nobody-listens")
        stack.provider.gate.set()
        await stack.client.result(job_id)
        await other.terminate()
