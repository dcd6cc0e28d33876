"""The records of credits."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from darkroom.domain.groups import CreditGroupInput
from darkroom.domain.images import ImageKey
from darkroom.domain.money import Account, JournalRow, SettledImage
from darkroom.domain.wallets import OrganizationAccount


class AccountRecords(Protocol):
    """What members and organizations have."""

    async def ensure_member(self, user_id: UUID, opening_balance: int) -> None:
        """Create the member with this balance unless there is one."""
        ...

    async def grant(self, user_id: UUID, amount: int, idempotency_key: str) -> Account:
        """Add credits to a member (created when missing) with a journal row `GRANT`."""
        ...

    async def account(self, user_id: UUID) -> Account | None:
        """A member's balance and holds; None without a member row."""
        ...

    async def journal(self, user_id: UUID, limit: int) -> Sequence[JournalRow]:
        """A member's newest journal rows, newest first; without those of organizations that paid for them."""
        ...

    async def grant_organization(self, org_id: UUID, amount: int, idempotency_key: str) -> OrganizationAccount:
        """Add credits to an organization, with a journal row `GRANT` in its owner's name.

        Raises:
            NotPossibleNow: there is no such organization.
        """
        ...

    async def organization(self, org_id: UUID) -> OrganizationAccount | None:
        """An organization's balance and holds; None when there is none."""
        ...

    async def organizations(self, user_id: UUID) -> Sequence[OrganizationAccount]:
        """Those whose active member a user is, by name; also the ones that may not pay now."""
        ...

    async def membership(self, org_id: UUID, user_id: UUID) -> str | None:
        """The status of a user's membership: active, left or banned; None without one."""
        ...

    async def organization_journal(self, org_id: UUID, limit: int) -> Sequence[JournalRow]:
        """An organization's newest journal rows, newest first."""
        ...


class MoneyRecords(Protocol):
    """What is charged and held for jobs, and whether it adds up."""

    async def settle(self, key: ImageKey, run_id: str) -> SettledImage:
        """Make an image count and charge for it, once (spec §4)."""
        ...

    async def settle_group(self, group: CreditGroupInput) -> Sequence[SettledImage]:
        """`settle` for several images of a stage in one transaction, in their order; what becomes of each.

        What does not cover all of them covers the first ones. An image that the records refuse is one with
        `Settlement.REFUSED`, and changes nothing of the others.
        """
        ...

    async def release_ended_holds(self) -> Sequence[UUID]:
        """Release what is still held of jobs that have ended; the jobs that had such a hold."""
        ...

    async def audit(self) -> Sequence[str]:
        """Each broken invariant of spec §4 that the records alone can show, in words."""
        ...
