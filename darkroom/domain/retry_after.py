"""The `Retry-After` header (RFC 9110), as providers and webhook receivers send it."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST_WAIT = timedelta(days=1)


def read_retry_after(header: str | None, now: datetime) -> timedelta | None:
    """The wait that the header names, in seconds or as a date, a day at most.

    Args:
        header: its value; None when it was not sent.
        now: with its time zone.

    Returns:
        None for a header that is missing, unreadable or not in the future.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    if math.isnan(seconds) or seconds <= 0:
        return None
    return timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds()))
