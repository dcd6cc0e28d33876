"""Everything that goes wrong in words a user can act on.

Each docstring is the kind of trouble; each message names the thing, the reason and the remedy.
"""

from datetime import timedelta


class DarkroomError(Exception):
    """Something Darkroom can explain in one line."""


class OrderRejected(DarkroomError):
    """The order cannot be delivered as written; nothing was stored."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class SettingRejected(DarkroomError):
    """A setting has a value that Darkroom cannot work with."""


class JobNotFound(DarkroomError):
    """There is no such job in the records."""


class NotPossibleNow(DarkroomError):
    """The job is in a state in which this cannot be done."""


class ServerNotReachable(DarkroomError):
    """A server that this command needs does not answer."""


class Retryable(DarkroomError):
    """A passing trouble; Temporal tries again."""


class ProviderUnavailable(Retryable):
    """The provider could not answer this time."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        """What the server asked us to wait, where it said so."""


class RecordsUnavailable(Retryable):
    """The records could not be read or written this time; nothing of the change was kept."""


class StorageUnavailable(Retryable):
    """The storage could not be read or written this time."""


class FileMissing(DarkroomError):
    """The file of a delivered image is no longer in the storage."""


class StorageRefused(DarkroomError):
    """The storage will never accept this as it is: a key, a bucket, a size or a permission."""


class RunRefused(DarkroomError):
    """A run of the job may not do this: it is closed, or another run has taken over."""


class ReceiverUnavailable(Retryable):
    """A webhook's receiver did not take the event this time."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        """What it asked us to wait, where it said so."""


class ReceiverGone(DarkroomError):
    """A webhook's receiver wants no more events."""


class WebhookRefused(DarkroomError):
    """A webhook may not go to this address."""
