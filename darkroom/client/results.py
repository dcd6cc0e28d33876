"""What the client answers."""

from typing import Any
from uuid import UUID

from darkroom.domain.errors import InsufficientCredits
from darkroom.domain.model import Value
from darkroom.domain.money import Account, Prices, insufficient
from darkroom.domain.orders import Order
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.rounds import allot
from darkroom.domain.wallets import OrganizationAccount
from darkroom.orders.references import NewUpload


class CheckedOrder(Value):
    """An order that can be delivered as it is; nothing of it is stored yet."""

    document: dict[str, Any]
    """As it was sent."""
    order: Order
    """What it asks for, its references included; its organization pays, or else its user."""
    unknown_keys: tuple[str, ...] = ()
    more_unknown_keys: int = 0
    """How many there are beyond those that are named."""
    references: tuple[NewUpload, ...] = ()
    """Pictures to store with it."""
    account: Account | OrganizationAccount | None
    """The payer's, as it was read; None for an anonymous, free job."""
    opens_account: bool = False
    """Whether the payer is the local user, whose account comes with the first order."""

    @property
    def user_id(self) -> UUID | None:
        """Whose job it is; None for an anonymous, free job."""
        return self.order.user_id

    def credits_by_stage(self, prices: Prices) -> list[int]:
        """The most that each stage can cost: its pictures, or its part of `max_credits` if that is less.

        Args:
            prices: credits a picture.
        """
        quantities = [stage.quantity for stage in self.order.stages]
        of_stages = [prices.of(stage.image_size) for stage in self.order.stages]
        parts = allot(quantities, self.order.max_credits, of_stages)
        return [part * price for part, price in zip(parts, of_stages, strict=True)]

    def ensure_affordable(self, prices: Prices) -> None:
        """Refuse at once what opening the job would refuse a moment later.

        Args:
            prices: credits a picture.

        Raises:
            InsufficientCredits: the balance does not cover the order.
        """
        need = sum(self.credits_by_stage(prices))
        if self.account is not None and need > self.account.available:
            reason = insufficient(need, self.account.available)
            raise InsufficientCredits(f"{reason}; order fewer pictures, or grant credits")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the document, though it can be delivered."""
        named = tuple(f"{key}: unknown key, ignored" for key in self.unknown_keys)
        return (*named, f"{self.more_unknown_keys:,} more unknown keys, ignored") if self.more_unknown_keys else named


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
