"""Errors at the edge: what Temporal should try again, how soon, and how loudly."""

import random
from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from darkroom.domain.errors import DarkroomError, ProviderUnavailable, ReceiverUnavailable, Retryable

FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(seconds=60)


def to_application_error(
    error: DarkroomError, attempt: int, *, unlimited: bool = False, policy: RetryPolicy | None = None
) -> ApplicationError:
    """The error as Temporal understands it.

    An expected retry is benign (no traceback, no error metric). The delay doubles from 2 s to 60 s with
    jitter, so that a hundred calls refused together do not come back together; a longer delay that the
    server named wins. An activity of unlimited attempts need not spare them: from 1 s to 15 s, so that a
    cancel or a settlement comes soon after records or storage are back. A webhook's receiver is not ours to
    hurry: for it the activity's own policy counts.
    """
    retryable = isinstance(error, Retryable)
    first, longest = (FIRST_DELAY / 2, LONGEST_DELAY / 4) if unlimited else (FIRST_DELAY, LONGEST_DELAY)
    delay = min(first * 2 ** min(attempt - 1, 10), longest) * random.uniform(0.75, 1.25)  # noqa: S311
    if isinstance(error, ProviderUnavailable) and error.retry_after is not None:
        delay = max(delay, error.retry_after)
    if isinstance(error, ReceiverUnavailable) and policy is not None:
        delay = _delay_of_webhook(error, attempt, policy)
    return ApplicationError(
        str(error),
        type=type(error).__name__,
        non_retryable=not retryable,
        next_retry_delay=delay if retryable else None,
        category=ApplicationErrorCategory.BENIGN if retryable else ApplicationErrorCategory.UNSPECIFIED,
    )


def _delay_of_webhook(error: ReceiverUnavailable, attempt: int, policy: RetryPolicy) -> timedelta:
    """As the policy says, or longer where the receiver asks for it, yet never longer than the policy's longest."""
    longest = policy.maximum_interval or policy.initial_interval * 100
    backed_off = policy.initial_interval * policy.backoff_coefficient ** min(attempt - 1, 30)
    delay = min(backed_off, longest) * random.uniform(0.75, 1.25)  # noqa: S311
    return max(delay, min(error.retry_after or timedelta(0), longest))
