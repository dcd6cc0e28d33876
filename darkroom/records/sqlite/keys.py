"""Keys to the HTTP API: what is kept of them."""

import sqlite3
from uuid import UUID

from darkroom.domain.keys import ApiKey, NewApiKey
from darkroom.records.sqlite.database import now


def add_api_key(db: sqlite3.Connection, key: NewApiKey) -> None:
    """Keep a key; one that is there stays as it is."""
    db.execute(
        "insert into quel_api_keys (key_id, quel_member_id, name, operator, key_hash, created_at) "
        "values (?, ?, ?, ?, ?, ?) on conflict (key_id) do nothing",
        (str(key.key_id), str(key.user_id), key.name, int(key.operator), key.key_hash, now()),
    )


def api_key(db: sqlite3.Connection, key_hash: str) -> ApiKey | None:
    """The key with this hash that still opens something."""
    row = db.execute("select * from quel_api_keys where key_hash = ? and revoked_at is null", (key_hash,)).fetchone()
    return None if row is None else _key(row)


def api_keys(db: sqlite3.Connection) -> list[ApiKey]:
    """All keys, newest first."""
    return [_key(row) for row in db.execute("select * from quel_api_keys order by created_at desc, rowid desc")]


def revoke_api_key(db: sqlite3.Connection, key_id: UUID) -> bool:
    """Let a key open nothing any more; the first time is the one that is kept."""
    cursor = db.execute(
        "update quel_api_keys set revoked_at = coalesce(revoked_at, ?) where key_id = ?", (now(), str(key_id))
    )
    return cursor.rowcount == 1


def _key(row: sqlite3.Row) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        user_id=row["quel_member_id"],
        name=row["name"],
        operator=bool(row["operator"]),
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )
