"""Holds, settlements and the journal (spec §4). Amounts are whole credits."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from darkroom.domain.formats import ImageSize
from darkroom.domain.images import Settlement
from darkroom.domain.model import Value
from darkroom.domain.orders import JobType, Order


class Transaction(StrEnum):
    """Kinds of journal rows."""

    DEDUCT = "DEDUCT"
    GRANT = "GRANT"


class Prices(Value):
    """Credits of a picture, by its size."""

    k1: int
    k2: int
    k4: int

    def of(self, size: ImageSize) -> int:
        """The price of one picture of this size."""
        return {ImageSize.K1: self.k1, ImageSize.K2: self.k2, ImageSize.K4: self.k4}[size]

    def of_stages(self, order: Order) -> list[int]:
        """The price of one picture of each stage; an order without a user is free."""
        return [self.of(stage.image_size) if order.user_id else 0 for stage in order.stages]


class StagePrices(Value):
    """What the pictures of a job cost, as it is stored when it first opens; it holds for every restart."""

    job: int
    """The price of the first stage, and of all others that have none of their own."""
    stages: tuple[int | None, ...]

    @classmethod
    def of(cls, prices: Sequence[int]) -> "StagePrices":
        """From the price of each stage."""
        job = prices[0] if prices else 0
        return cls(job=job, stages=tuple(None if price == job else price for price in prices))


class Terms(Value):
    """What the settings say when a run opens; the prices count only the first time."""

    unit_price: int
    """Of a picture of the smallest size."""
    unit_price_2k: int | None = None
    unit_price_4k: int | None = None
    """Of larger ones; None for the same."""
    max_top_ups: int
    storybook_max_top_ups: int = 2
    providers: tuple[str, ...]

    @property
    def prices(self) -> Prices:
        """Credits of a picture, by its size."""
        larger = (self.unit_price if price is None else price for price in (self.unit_price_2k, self.unit_price_4k))
        k2, k4 = larger
        return Prices(k1=self.unit_price, k2=k2, k4=k4)

    def top_ups(self, order: Order) -> int:
        """Rounds after the first: as the order says, else as the settings say for its kind."""
        if order.max_top_ups is not None:
            return order.max_top_ups
        return self.storybook_max_top_ups if order.job_type is JobType.STORYBOOK else self.max_top_ups


class Account(Value):
    """A member's money."""

    user_id: UUID
    balance: int
    held: int
    """Set aside by open holds of running jobs."""

    @property
    def available(self) -> int:
        """What a new job may hold."""
        return self.balance - self.held


class JournalRow(Value):
    """One change of a balance."""

    transaction_type: Annotated[Transaction | str, Field(union_mode="left_to_right")]
    """One of ours, or whatever another program with the same tables writes."""
    amount: int
    balance_after: int
    """Of the wallet: the organization's where `org_id` is set."""
    attach_id: int | None
    production_id: UUID | None
    idempotency_key: str | None
    created_at: datetime
    org_id: UUID | None = None
    """The organization whose balance changed; None for the member's."""
    used_by_member_id: UUID | None = None
    """Whose job an organization paid."""


class SettledImage(Value):
    """The answer of a settlement."""

    settlement: Settlement
    attach_id: int | None = None
    reason: str | None = None
    call_ids: tuple[UUID, ...] = ()
    """With SETTLED: the calls made for this image, whose staged bytes may go."""
    row_trails: bool = False
    """Whether the job's row does not show this image yet (it was refreshed less than 1 s ago)."""


def insufficient(need: int, available: int) -> str:
    """What a user reads when the balance does not cover the order."""
    return f"insufficient credits: need {need}, available {available}"
