"""What the records refuse for good ends the job, as failed and with the reason (part of the workflows)."""

from collections.abc import Awaitable, Callable

from temporalio import exceptions, workflow

with workflow.unsafe.imports_passed_through():
    from darkroom.domain.errors import RecordsRefused


def refusal(error: exceptions.ActivityError) -> str | None:
    """Why the records refused what an activity asked of them; None when it failed for another reason.

    No earlier history has such a failure, because these errors were retried: what follows needs no patch.
    """
    cause = error.cause
    refused = isinstance(cause, exceptions.ApplicationError) and cause.type == RecordsRefused.__name__
    return cause.message if refused and isinstance(cause, exceptions.ApplicationError) else None


def refusal_or_raise(error: exceptions.ActivityError) -> str:
    """The same.

    Raises:
        ActivityError: as it is, when it failed for another reason.
    """
    refused = refusal(error)
    if refused is None:
        raise error
    return refused


async def unless_refused(work: Awaitable[None], stop: Callable[[str], None]) -> None:
    """Do the work, or stop with the reason why the records refused a part of it."""
    try:
        await work
    except exceptions.ActivityError as error:
        stop(refusal_or_raise(error))
