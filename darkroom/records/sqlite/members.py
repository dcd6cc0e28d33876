"""Members, their credits and the pictures they uploaded."""

import sqlite3
from collections.abc import Collection
from uuid import UUID

from darkroom.domain.money import Account, JournalRow, Transaction
from darkroom.domain.orders import ReferenceOwner
from darkroom.domain.stored import NewReference, ProductionOwner, StoredFile
from darkroom.records.sqlite import rows
from darkroom.records.sqlite.database import now


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
    known = db.execute("select 1 from quel_credits where idempotency_key = ?", (idempotency_key,)).fetchone()
    if known is None:
        db.execute(
            "update quel_member set quel_member_credit = quel_member_credit + ? where quel_member_id = ?",
            (amount, str(user_id)),
        )
        db.execute(
            "insert into quel_credits (user_id, transaction_type, amount, balance_after, "
            "idempotency_key, created_at) select quel_member_id, ?, ?, quel_member_credit, ?, ? "
            "from quel_member where quel_member_id = ?",
            (Transaction.GRANT, amount, idempotency_key, now(), str(user_id)),
        )
    found = account(db, user_id)
    assert found is not None
    return found


def account(db: sqlite3.Connection, user_id: UUID) -> Account | None:
    """A member's balance and what open holds set aside of it."""
    row = db.execute(
        "select quel_member_credit, (select coalesce(sum(amount), 0) from quel_credit_holds as hold "
        "where hold.quel_member_id = member.quel_member_id and released_at is null) as held "
        "from quel_member as member where quel_member_id = ?",
        (str(user_id),),
    ).fetchone()
    if row is None:
        return None
    return Account(user_id=user_id, balance=row["quel_member_credit"], held=row["held"])


def journal(db: sqlite3.Connection, user_id: UUID, limit: int) -> list[JournalRow]:
    """The newest journal rows, newest first."""
    return [
        JournalRow(
            transaction_type=row["transaction_type"],
            amount=row["amount"],
            balance_after=row["balance_after"],
            attach_id=row["attach_idx"],
            production_id=rows.uuid_or_none(row["production_idx"]),
            idempotency_key=row["idempotency_key"],
            created_at=row["created_at"],
        )
        for row in db.execute(
            "select * from quel_credits where user_id = ? order by id desc limit ?",
            (str(user_id), limit),
        )
    ]


def reference_owners(db: sqlite3.Connection, attach_ids: Collection[int]) -> dict[int, ReferenceOwner]:
    """Those that exist and can be shown: uploads, and images that were delivered."""
    found = {}
    for attach_id in attach_ids:
        row = db.execute(
            "select quel_member_id, attach_original_name from quel_attach where attach_id = ? "
            "and (job_id is null or delivered_at is not null)",
            (attach_id,),
        ).fetchone()
        if row is not None:
            owner = rows.uuid_or_none(row["quel_member_id"])
            found[attach_id] = ReferenceOwner(attach_id=attach_id, user_id=owner, name=row["attach_original_name"])
    return found


def production_owner(db: sqlite3.Connection, production_id: UUID) -> ProductionOwner | None:
    """Whose production it is."""
    row = db.execute(
        "select quel_member_id from quel_production_photo where production_id = ?", (str(production_id),)
    ).fetchone()
    return None if row is None else ProductionOwner(user_id=rows.uuid_or_none(row["quel_member_id"]))


def stored_file(db: sqlite3.Connection, attach_id: int) -> StoredFile | None:
    """Where the file of an attachment lies that can be shown."""
    row = db.execute(
        "select * from quel_attach where attach_id = ? and (job_id is null or delivered_at is not null)",
        (attach_id,),
    ).fetchone()
    if row is None:
        return None
    return StoredFile(
        attach_id=attach_id,
        path=row["attach_file_path"],
        media_type=row["attach_file_type"],
        user_id=rows.uuid_or_none(row["quel_member_id"]),
    )


def add_reference(db: sqlite3.Connection, reference: NewReference) -> int:
    """Record an uploaded picture, or find the row of the same picture of the same user."""
    known = db.execute(
        "select attach_id from quel_attach where sha256 = ? and job_id is null and quel_member_id is ? "
        "and attach_file_path = ?",
        (reference.sha256, rows.text_or_none(reference.user_id), reference.path),
    ).fetchone()
    if known is not None:
        return int(known["attach_id"])
    directory, _, name = reference.path.rpartition("/")
    cursor = db.execute(
        "insert into quel_attach (attach_original_name, attach_file_name, attach_file_path, attach_file_size, "
        "attach_file_type, attach_directory, attach_storage_type, quel_member_id, sha256, created_at) "
        "values (?, ?, ?, ?, ?, ?, 'darkroom', ?, ?, ?)",
        (
            reference.original_name,
            name,
            reference.path,
            reference.size,
            reference.media_type,
            directory,
            rows.text_or_none(reference.user_id),
            reference.sha256,
            now(),
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid
