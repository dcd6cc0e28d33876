"""What members and organizations have, and how it came to that."""

from collections.abc import Sequence
from uuid import UUID

from darkroom.domain.money import Account, JournalRow
from darkroom.domain.wallets import OrganizationAccount
from darkroom.records.supabase.functions import Part


class SupabaseAccounts(Part):
    """The role `AccountRecords`."""

    async def ensure_member(self, user_id: UUID, opening_balance: int) -> None:
        await self._call("ensure_member", user_id=str(user_id), opening_balance=opening_balance)

    async def grant(self, user_id: UUID, amount: int, idempotency_key: str) -> Account:
        account = await self._call("grant", user_id=str(user_id), amount=amount, idempotency_key=idempotency_key)
        return Account.model_validate(account)

    async def account(self, user_id: UUID) -> Account | None:
        account = await self._call("account", user_id=str(user_id))
        return None if account is None else Account.model_validate(account)

    async def journal(self, user_id: UUID, limit: int) -> Sequence[JournalRow]:
        rows = await self._call("journal", user_id=str(user_id), limit=limit)
        return [JournalRow.model_validate(row) for row in rows]

    async def grant_organization(self, org_id: UUID, amount: int, idempotency_key: str) -> OrganizationAccount:
        account = await self._call(
            "grant_organization", org_id=str(org_id), amount=amount, idempotency_key=idempotency_key
        )
        return OrganizationAccount.model_validate(account)

    async def organization(self, org_id: UUID) -> OrganizationAccount | None:
        account = await self._call("organization", org_id=str(org_id))
        return None if account is None else OrganizationAccount.model_validate(account)

    async def organizations(self, user_id: UUID) -> Sequence[OrganizationAccount]:
        accounts = await self._call("organizations", user_id=str(user_id))
        return [OrganizationAccount.model_validate(account) for account in accounts]

    async def membership(self, org_id: UUID, user_id: UUID) -> str | None:
        status: str | None = await self._call("membership", org_id=str(org_id), user_id=str(user_id))
        return status

    async def organization_journal(self, org_id: UUID, limit: int) -> Sequence[JournalRow]:
        rows = await self._call("organization_journal", org_id=str(org_id), limit=limit)
        return [JournalRow.model_validate(row) for row in rows]
