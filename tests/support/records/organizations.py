"""Organizations as front ends keep them: Darkroom reads these rows, and changes no more than a balance."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from darkroom.domain.wallets import OrganizationAccount
from tests.support.records.fixture import RecordsFixture


async def organization(
    fixture: RecordsFixture, balance: int = 1_000, members: Sequence[UUID] = (), org_id: UUID | None = None
) -> UUID:
    """An active organization with these active members; the first one owns it."""
    org_id = org_id or uuid4()
    await fixture.tables.change(
        "insert into quel_organization (org_id, org_name, org_credit, owner_id, org_status, created_at)"
        " values (:org, 'Acme', :balance, :owner, 'active', '2026-11-01T00:00:00+00:00')",
        org=str(org_id),
        balance=balance,
        owner=str(members[0] if members else await fixture.member(0)),
    )
    for user_id in members:
        await fixture.tables.change(
            "insert into quel_organization_member (id, org_id, member_id, role, status)"
            " values (:id, :org, :user, 'member', 'active')",
            id=str(uuid4()),
            org=str(org_id),
            user=str(user_id),
        )
    return org_id


async def organization_account(fixture: RecordsFixture, org_id: UUID) -> OrganizationAccount:
    """What it has."""
    account = await fixture.records.organization(org_id)
    assert account is not None
    return account


async def set_organization(fixture: RecordsFixture, org_id: UUID, status: str) -> None:
    """Suspend it, for example."""
    await fixture.tables.change(
        "update quel_organization set org_status = :status where org_id = :org", status=status, org=str(org_id)
    )


async def set_membership(fixture: RecordsFixture, org_id: UUID, user_id: UUID, status: str) -> None:
    """Let a member leave, ban them, take them back."""
    await fixture.tables.change(
        "update quel_organization_member set status = :status where org_id = :org and member_id = :user",
        status=status,
        org=str(org_id),
        user=str(user_id),
    )


async def spend_of_organization(fixture: RecordsFixture, org_id: UUID, amount: int) -> None:
    """Somebody else takes credits from the organization, as another program with the same tables would."""
    await fixture.tables.change(
        "insert into quel_credits"
        " (user_id, org_id, used_by_member_id, transaction_type, amount, balance_after, created_at)"
        " select owner_id, org_id, owner_id, 'DEDUCT', -cast(:amount as integer), org_credit - :amount, :now"
        " from quel_organization where org_id = :org",
        org=str(org_id),
        amount=amount,
        now=datetime.now(UTC).isoformat(),
    )
    await fixture.tables.change(
        "update quel_organization set org_credit = org_credit - :amount where org_id = :org",
        org=str(org_id),
        amount=amount,
    )
