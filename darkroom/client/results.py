"""What the client answers."""

from typing import Any
from uuid import UUID

from darkroom.domain.model import Value
from darkroom.domain.money import Account
from darkroom.domain.orders import Order
from darkroom.domain.progress import JobStatus, Progress
from darkroom.orders.references import NewUpload


class CheckedOrder(Value):
    """An order that can be delivered as it is; nothing of it is stored yet."""

    document: dict[str, Any]
    """As it was sent."""
    order: Order
    """What it asks for, its references included; its user pays."""
    unknown_keys: tuple[str, ...] = ()
    references: tuple[NewUpload, ...] = ()
    """Pictures to store with it."""
    account: Account | None
    """The payer's, as it was read; None for an anonymous, free job."""
    opens_account: bool = False
    """Whether the payer is the local user, whose account comes with the first order."""

    @property
    def user_id(self) -> UUID | None:
        """Who pays; None for an anonymous, free job."""
        return self.order.user_id

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the document, though it can be delivered."""
        return tuple(f"{key}: unknown key, ignored" for key in self.unknown_keys)


class Submitted(Value):
    """A job that is stored and started."""

    job_id: UUID
    found: bool
    """Whether the id was there already; the order was not checked then."""
    total_images: int
    warnings: tuple[str, ...] = ()


class ControlResult(Value):
    """What a signal to a job did: `success` means accepted."""

    success: bool
    message: str
    job_id: UUID
    status: JobStatus
    completed_images: int
    total_images: int


class ProgressReading(Value):
    """A job's progress and where it was read."""

    progress: Progress
    source: str
    """`workflow`, or `records` when no workflow answered."""
