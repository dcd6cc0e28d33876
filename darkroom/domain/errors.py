"""Everything that goes wrong in words a user can act on.

Each docstring is the kind of error; each message names the thing, the reason and the remedy.
"""

from datetime import timedelta
from decimal import Decimal


class DarkroomError(Exception):
    """An error that Darkroom can explain in one line."""


class OrderRejected(DarkroomError):
    """The order cannot be delivered as written; nothing was stored."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class ExportRejected(DarkroomError):
    """What is asked for of a job's pictures cannot be given as written; nothing was written."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class SettingRejected(DarkroomError):
    """A setting has an invalid value."""


class JobNotFound(DarkroomError):
    """The job does not exist."""


class NotPossibleNow(DarkroomError):
    """The job's current state does not allow this."""


class InsufficientCredits(DarkroomError):
    """The balance of whoever pays does not cover the order."""


class ServerNotReachable(DarkroomError):
    """A server that this command needs does not answer."""


class NamespaceUnknown(ServerNotReachable):
    """The Temporal server has no such namespace."""


class Retryable(DarkroomError):
    """A transient error; Temporal retries."""


class ProviderUnavailable(Retryable):
    """The provider could not answer the call this time."""

    def __init__(self, reason: str, retry_after: timedelta | None = None, cost_usd: Decimal | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        """How long the server asked us to wait, if it said so."""
        self.cost_usd = cost_usd
        """What it asks for the call all the same; None where nobody can tell."""


class RecordsUnavailable(Retryable):
    """The records could not be read or written this time; nothing of the change was kept."""


class RecordsRefused(DarkroomError):
    """The records cannot take or give this as it is: a constraint, a permission, or a row that cannot be read."""


class StorageUnavailable(Retryable):
    """The storage could not be read or written this time."""


class PictureNotExamined(Retryable):
    """A paid picture that is staged could not be examined this time."""


class CallsInProgress(Retryable):
    """Calls that may still bring a picture are in progress, and too many activities wait for such calls already."""


class WorkerStops(Retryable):
    """A worker stops before what it waited for came; another one waits on."""


class FileMissing(DarkroomError):
    """The file of a delivered image is no longer in the storage."""


class StorageRefused(DarkroomError):
    """The storage cannot accept this as it is: a key, a bucket, a size or a permission is wrong."""


class RunRefused(DarkroomError):
    """A run of the job may not do this: it is closed, or another run has taken over."""


class ProofImpossible(DarkroomError):
    """This machine cannot play a proof: there is no verdict."""


class ReceiverUnavailable(Retryable):
    """A webhook's receiver did not accept the event this time."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        """How long it asked us to wait, if it said so."""


class ReceiverGone(DarkroomError):
    """A webhook's receiver accepts no more events."""


class WebhookRefused(DarkroomError):
    """A webhook may not be sent to this address."""
