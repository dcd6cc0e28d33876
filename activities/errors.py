"""Errors at the edge: what Temporal should try again, how soon, and how loudly."""

import random
from datetime import timedelta

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from darkroom.domain.errors import DarkroomError, ProviderUnavailable, Retryable

FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(seconds=60)


def to_application_error(error: DarkroomError, attempt: int) -> ApplicationError:
    """The error as Temporal understands it.

    An expected retry is benign (no traceback, no error metric). Records and storage are tried again as the
    activity's policy says. After a provider's fault the delay doubles from 2 s to 60 s with jitter, so that a
    hundred calls refused together do not come back together; a longer delay that the server named wins.
    """
    retryable = isinstance(error, Retryable)
    delay: timedelta | None = None
    if isinstance(error, ProviderUnavailable):
        delay = min(FIRST_DELAY * 2 ** min(attempt - 1, 10), LONGEST_DELAY) * random.uniform(0.75, 1.25)  # noqa: S311
        delay = max(delay, error.retry_after or delay)
    return ApplicationError(
        str(error),
        type=type(error).__name__,
        non_retryable=not retryable,
        next_retry_delay=delay,
        category=ApplicationErrorCategory.BENIGN if retryable else ApplicationErrorCategory.UNSPECIFIED,
    )
