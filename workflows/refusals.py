"""What records or storage refuse for good ends the job, as failed and with the reason (part of the workflows)."""

from collections.abc import Awaitable, Callable

from temporalio import exceptions, workflow

with workflow.unsafe.imports_passed_through():
    from darkroom.domain.errors import DarkroomError, RecordsRefused, StorageRefused


def refusal(error: exceptions.ActivityError) -> str | None:
    """Why the records refused what an activity asked of them; None when it failed for another reason.

    No earlier history has such a failure, because these errors were retried: what follows needs no patch.
    """
    return _refused_by(error, RecordsRefused)


def refusal_or_raise(error: exceptions.ActivityError) -> str:
    """Why records or storage refused it. By the storage it ended the workflow before, so that needs no patch either.

    Raises:
        ActivityError: as it is, when it failed for another reason.
    """
    refused = _refused_by(error, RecordsRefused, StorageRefused)
    if refused is None:
        raise error
    return refused


def _refused_by(error: exceptions.ActivityError, *kinds: type[DarkroomError]) -> str | None:
    cause = error.cause
    if isinstance(cause, exceptions.ApplicationError) and cause.type in [kind.__name__ for kind in kinds]:
        return cause.message
    return None


async def unless_refused(work: Awaitable[None], stop: Callable[[str], None]) -> None:
    """Do the work, or stop with the reason why a part of it was refused."""
    try:
        await work
    except exceptions.ActivityError as error:
        stop(refusal_or_raise(error))
