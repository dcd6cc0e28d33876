"""Our errors as Temporal's: what is retried, how soon, and how loudly."""

import random
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from temporalio import activity
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from darkroom.domain.errors import DarkroomError, ProviderUnavailable, ReceiverUnavailable, RecordsRefused, Retryable

JITTER = 0.25
"""Delays vary by this share, so that a hundred calls refused together do not come back together."""

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def at_the_edge(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Our errors leave an activity as Temporal's."""
    return _translating(method, (Retryable,))


def until_the_records_take_it(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """As `at_the_edge`, but what the records refuse is retried too: a job whose end is not written holds credits."""
    return _translating(method, (Retryable, RecordsRefused))


def _translating(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]], retried: tuple[type[DarkroomError], ...]
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    @wraps(method)
    async def translated(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(self, *args, **kwargs)
        except DarkroomError as error:
            # An expected retry needs no chain of causes in the history.
            cause = None if isinstance(error, retried) else error
            info = activity.info()
            raise to_application_error(error, info.attempt, info.retry_policy, retried) from cause

    return cast("Callable[Concatenate[S, P], Coroutine[Any, Any, R]]", translated)


def to_application_error(
    error: DarkroomError,
    attempt: int,
    policy: RetryPolicy | None,
    retried: tuple[type[DarkroomError], ...] = (Retryable,),
) -> ApplicationError:
    """The error as Temporal understands it.

    An expected retry is benign: no traceback, no error metric.

    Args:
        error: what happened.
        attempt: which attempt failed, from 1.
        policy: the activity's own, from `workflows/policies.py`; without one, Temporal's default applies.
        retried: the errors that Temporal tries again after.
    """
    retryable = isinstance(error, retried)
    return ApplicationError(
        str(error),
        type=type(error).__name__,
        non_retryable=not retryable,
        next_retry_delay=retry_delay(error, attempt, policy) if retryable and policy is not None else None,
        category=ApplicationErrorCategory.BENIGN if retryable else ApplicationErrorCategory.UNSPECIFIED,
    )


def retry_delay(error: DarkroomError, attempt: int, policy: RetryPolicy) -> timedelta:
    """What the policy says, with the jitter that a server's back-off lacks; longer where the other side asks for it.

    A provider may ask for any delay. A webhook's receiver is a stranger: it is granted the policy's longest at most.
    """
    longest = policy.maximum_interval or policy.initial_interval * 100
    # The exponent is capped because a timedelta overflows; every policy of ours reaches its longest well before.
    backed_off = policy.initial_interval * policy.backoff_coefficient ** min(attempt - 1, 30)
    delay = min(backed_off, longest) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
    if isinstance(error, ProviderUnavailable):
        return max(delay, error.retry_after or timedelta(0))
    if isinstance(error, ReceiverUnavailable):
        return max(delay, min(error.retry_after or timedelta(0), longest))
    return delay
