"""Holds, settlements and the journal (spec §4). Amounts are whole credits."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from darkroom.domain.images import Settlement
from darkroom.domain.model import Value
from darkroom.domain.orders import JobType, Order


class Transaction(StrEnum):
    """Kinds of journal rows."""

    DEDUCT = "DEDUCT"
    GRANT = "GRANT"


class Terms(Value):
    """What the settings say when a run opens; the price counts only the first time."""

    unit_price: int
    max_top_ups: int
    storybook_max_top_ups: int = 2
    providers: tuple[str, ...]

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
