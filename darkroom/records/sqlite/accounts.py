"""What members and organizations have, and how it came to that (spec §4)."""

import sqlite3
from uuid import UUID

from darkroom.domain.errors import NotPossibleNow
from darkroom.domain.money import Account, JournalRow, Transaction
from darkroom.domain.wallets import ACTIVE, OrganizationAccount
from darkroom.records.sqlite import rows, wallets
from darkroom.records.sqlite.database import now
from darkroom.records.sqlite.wallets import Change, Wallet


def ensure_member(db: sqlite3.Connection, user_id: UUID, opening_balance: int) -> None:
    """Create the member with this balance unless there is one."""
    db.execute(
        "insert into quel_member (quel_member_id, quel_member_credit, opening_balance, created_at) "
        "values (?, ?, ?, ?) on conflict (quel_member_id) do nothing",
        (str(user_id), opening_balance, opening_balance, now()),
    )


def grant(db: sqlite3.Connection, user_id: UUID, amount: int, idempotency_key: str) -> Account:
    """Add credits with a journal row, once per key."""
    ensure_member(db, user_id, 0)
    _grant_once(db, Wallet(str(user_id), None), amount, idempotency_key)
    found = account(db, user_id)
    assert found is not None
    return found


def account(db: sqlite3.Connection, user_id: UUID) -> Account | None:
    """A member's balance and what open holds set aside of it."""
    wallet = Wallet(str(user_id), None)
    balance = wallets.balance(db, wallet)
    return None if balance is None else Account(user_id=user_id, balance=balance, held=wallets.held(db, wallet))


def journal(db: sqlite3.Connection, user_id: UUID, limit: int) -> list[JournalRow]:
    """The newest rows of a member's own, newest first."""
    found = db.execute(
        "select * from quel_credits where user_id = ? and org_id is null order by id desc limit ?",
        (str(user_id), limit),
    )
    return [_journal_row(row) for row in found]


def grant_organization(db: sqlite3.Connection, org_id: UUID, amount: int, idempotency_key: str) -> OrganizationAccount:
    """Add credits with a journal row in the owner's name, once per key."""
    owner = db.execute("select owner_id from quel_organization where org_id = ?", (str(org_id),)).fetchone()
    if owner is None:
        raise NotPossibleNow(f"organization {org_id} does not exist; check its id")
    _grant_once(db, Wallet(owner["owner_id"], str(org_id)), amount, idempotency_key)
    found = organization(db, org_id)
    assert found is not None
    return found


def organization(db: sqlite3.Connection, org_id: UUID) -> OrganizationAccount | None:
    """An organization's balance and what open holds set aside of it."""
    row = db.execute("select * from quel_organization where org_id = ?", (str(org_id),)).fetchone()
    return None if row is None else _organization_account(db, row)


def organizations(db: sqlite3.Connection, user_id: UUID) -> list[OrganizationAccount]:
    """Those whose active member a user is, by name."""
    found = db.execute(
        "select organization.* from quel_organization as organization "
        "join quel_organization_member as member using (org_id) "
        "where member_id = ? and status = ? order by org_name, org_id",
        (str(user_id), ACTIVE),
    ).fetchall()
    return [_organization_account(db, row) for row in found]


def membership(db: sqlite3.Connection, org_id: UUID, user_id: UUID) -> str | None:
    """The status of a user's membership."""
    row = db.execute(
        "select status from quel_organization_member where org_id = ? and member_id = ?", (str(org_id), str(user_id))
    ).fetchone()
    return None if row is None else row["status"]


def organization_journal(db: sqlite3.Connection, org_id: UUID, limit: int) -> list[JournalRow]:
    """An organization's newest rows, newest first."""
    found = db.execute("select * from quel_credits where org_id = ? order by id desc limit ?", (str(org_id), limit))
    return [_journal_row(row) for row in found]


def _grant_once(db: sqlite3.Connection, wallet: Wallet, amount: int, idempotency_key: str) -> None:
    known = db.execute("select 1 from quel_credits where idempotency_key = ?", (idempotency_key,)).fetchone()
    if known is None:
        wallets.change(db, wallet, Change(kind=Transaction.GRANT, amount=amount, idempotency_key=idempotency_key))


def _organization_account(db: sqlite3.Connection, row: sqlite3.Row) -> OrganizationAccount:
    return OrganizationAccount(
        org_id=UUID(row["org_id"]),
        name=row["org_name"],
        status=row["org_status"],
        balance=row["org_credit"],
        held=wallets.held(db, Wallet(row["owner_id"], row["org_id"])),
    )


def _journal_row(row: sqlite3.Row) -> JournalRow:
    return JournalRow(
        transaction_type=row["transaction_type"],
        amount=row["amount"],
        balance_after=row["balance_after"],
        attach_id=row["attach_idx"],
        production_id=rows.uuid_or_none(row["production_idx"]),
        idempotency_key=row["idempotency_key"],
        created_at=row["created_at"],
        org_id=rows.uuid_or_none(row["org_id"]),
        used_by_member_id=rows.uuid_or_none(row["used_by_member_id"]),
    )
