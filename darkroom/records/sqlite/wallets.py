"""Who pays for a job, and what they have: a member's wallet, or an organization's (spec §4)."""

import sqlite3
from typing import NamedTuple
from uuid import UUID

from darkroom.domain.money import Transaction
from darkroom.domain.wallets import cannot_pay
from darkroom.records.sqlite.database import now


class Wallet(NamedTuple):
    """Who pays: the organization where there is one, for this user's job; otherwise the user."""

    user_id: str
    org_id: str | None

    @property
    def table(self) -> str:
        """Where its balance is."""
        return "quel_member" if self.org_id is None else "quel_organization"

    @property
    def column(self) -> str:
        """What its balance is called."""
        return "quel_member_credit" if self.org_id is None else "org_credit"

    @property
    def is_it(self) -> tuple[str, str]:
        """The condition that finds its row, with one value."""
        return ("quel_member_id = ?", self.user_id) if self.org_id is None else ("org_id = ?", self.org_id)

    @property
    def holds(self) -> tuple[str, str]:
        """The condition that finds its holds, with one value."""
        if self.org_id is None:
            return "quel_member_id = ? and org_id is null", self.user_id
        return "org_id = ?", self.org_id


class Change(NamedTuple):
    """One change of a balance, as the journal has it."""

    kind: Transaction
    amount: int
    idempotency_key: str
    attach_id: int | None = None
    production_id: str | None = None
    job_id: str | None = None
    used_by: str | None = None


def keep(db: sqlite3.Connection, job_id: UUID, wallet: Wallet) -> None:
    """Say who pays for a job, for good; nothing is held yet."""
    db.execute(
        "insert into quel_credit_holds (job_id, quel_member_id, org_id, amount) values (?, ?, ?, 0) "
        "on conflict (job_id) do nothing",
        (str(job_id), wallet.user_id, wallet.org_id),
    )


def of_job(db: sqlite3.Connection, job: sqlite3.Row) -> Wallet | None:
    """Who pays for a job; None for one without a user."""
    kept = db.execute(
        "select quel_member_id, org_id from quel_credit_holds where job_id = ?", (job["job_id"],)
    ).fetchone()
    if kept is not None:
        return Wallet(kept["quel_member_id"], kept["org_id"])
    return None if job["quel_member_id"] is None else Wallet(job["quel_member_id"], None)


def refusal(db: sqlite3.Connection, wallet: Wallet) -> str | None:
    """Why this wallet pays for nothing; None when it may."""
    if wallet.org_id is None:
        if balance(db, wallet) is not None:
            return None
        return f"user {wallet.user_id} has no member row; `darkroom credits grant {wallet.user_id} N` creates one"
    status = db.execute(
        "select org_status, (select status from quel_organization_member as member "
        "where member.org_id = organization.org_id and member_id = ?) as member_status "
        "from quel_organization as organization where org_id = ?",
        (wallet.user_id, wallet.org_id),
    ).fetchone()
    known = (None, None) if status is None else (status["org_status"], status["member_status"])
    return cannot_pay(wallet.org_id, wallet.user_id, *known)


def balance(db: sqlite3.Connection, wallet: Wallet) -> int | None:
    """What the wallet has; None when there is none."""
    condition, value = wallet.is_it
    row = db.execute(
        f"select {wallet.column} from {wallet.table} where {condition}",  # noqa: S608 - our own words
        (value,),
    ).fetchone()
    return None if row is None else int(row[0] or 0)


def held(db: sqlite3.Connection, wallet: Wallet, besides: UUID | None = None) -> int:
    """What open holds set aside of it, all or those of other jobs."""
    condition, value = wallet.holds
    found: int = db.execute(
        "select coalesce(sum(amount), 0) from quel_credit_holds "  # noqa: S608 - our own words
        f"where {condition} and released_at is null and job_id is not ?",
        (value, None if besides is None else str(besides)),
    ).fetchone()[0]
    return found


def change(db: sqlite3.Connection, wallet: Wallet, change: Change) -> None:
    """Change a balance and write it down; the wallet's row is there."""
    condition, value = wallet.is_it
    db.execute(
        f"update {wallet.table} set {wallet.column} = {wallet.column} + ? where {condition}",  # noqa: S608 - ours
        (change.amount, value),
    )
    db.execute(
        "insert into quel_credits (user_id, org_id, used_by_member_id, transaction_type, amount, "
        "balance_after, attach_idx, production_idx, job_id, idempotency_key, created_at) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            wallet.user_id,
            wallet.org_id,
            change.used_by,
            change.kind,
            change.amount,
            balance(db, wallet),
            change.attach_id,
            change.production_id,
            change.job_id,
            change.idempotency_key,
            now(),
        ),
    )
