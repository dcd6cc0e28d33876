"""Who pays for a job: its member, or an organization of which they are an active member (spec §4)."""

from uuid import UUID

from darkroom.domain.model import Value

ACTIVE = "active"
"""The one status with which an organization pays, and with which a member may let it pay."""


class OrganizationAccount(Value):
    """An organization's money."""

    org_id: UUID
    name: str
    status: str
    balance: int
    held: int
    """Set aside by open holds of running jobs."""

    @property
    def available(self) -> int:
        """What a new job may hold."""
        return self.balance - self.held


class PaidBy(Value):
    """The organization that pays for a job."""

    org_id: UUID
    name: str


def cannot_pay(
    org_id: UUID | str, user_id: UUID | str, organization_status: str | None, member_status: str | None
) -> str | None:
    """Why an organization does not pay for a user's job; None when it does.

    Who is no member learns nothing of the organization, not even whether it exists.

    Args:
        org_id: the organization.
        user_id: whose job it is.
        organization_status: None when there is no such organization.
        member_status: None when the user never was a member of it.
    """
    if organization_status is None or member_status != ACTIVE:
        known = f" (status: {member_status})" if organization_status is not None and member_status else ""
        return (
            f"user {user_id} is not an active member of organization {org_id}{known}; "
            "ask an admin of the organization to add the user"
        )
    if organization_status != ACTIVE:
        return f"organization {org_id} is {organization_status} and cannot pay; ask its owner to reactivate it"
    return None
