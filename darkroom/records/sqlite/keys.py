"""Keys to the HTTP API, and sessions: what is kept of them."""

import json
import sqlite3
from collections.abc import Collection
from uuid import UUID

from darkroom.domain.keys import MOST_SESSIONS, ApiKey, NewApiKey, NewSession, Session
from darkroom.records.sqlite.database import now, stamp
from darkroom.records.sqlite.rows import text_or_none


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


def add_session(db: sqlite3.Connection, session: NewSession) -> None:
    """Keep a session; one that is there stays as it is."""
    user_id = str(session.user_id)
    db.execute(
        "insert into quel_api_sessions (session_hash, quel_member_id, key_id, created_at, expires_at) "
        "values (?, ?, ?, ?, ?) on conflict (session_hash) do nothing",
        (
            session.session_hash,
            user_id,
            text_or_none(session.key_id),
            now(),
            stamp(session.expires_at),
        ),
    )
    db.execute("delete from quel_api_sessions where expires_at <= ?", (now(),))
    db.execute(
        "delete from quel_api_sessions where session_hash in (select session_hash from quel_api_sessions "
        "where quel_member_id = ? order by created_at desc, rowid desc limit -1 offset ?)",
        (user_id, MOST_SESSIONS),
    )


def session(db: sqlite3.Connection, session_hash: str) -> Session | None:
    """The session with this hash that still opens something."""
    row = db.execute(
        "select session.quel_member_id as user_id, session.key_id, session.expires_at, "
        "coalesce(key.operator, 0) as operator "
        "from quel_api_sessions as session left join quel_api_keys as key on key.key_id = session.key_id "
        "where session.session_hash = ? and session.expires_at > ? and key.revoked_at is null",
        (session_hash, now()),
    ).fetchone()
    if row is None:
        return None
    return Session(
        user_id=row["user_id"], operator=bool(row["operator"]), key_id=row["key_id"], expires_at=row["expires_at"]
    )


def end_session(db: sqlite3.Connection, session_hash: str) -> None:
    """Delete a session."""
    db.execute("delete from quel_api_sessions where session_hash = ?", (session_hash,))


def valid_sign_ins(db: sqlite3.Connection, hashes: Collection[str]) -> frozenset[str]:
    """Those of these hashes that still open something."""
    rows = db.execute(
        "select key_hash as hash from quel_api_keys "
        "where revoked_at is null and key_hash in (select value from json_each(:hashes)) "
        "union all select session.session_hash "
        "from quel_api_sessions as session left join quel_api_keys as key on key.key_id = session.key_id "
        "where session.session_hash in (select value from json_each(:hashes)) "
        "and session.expires_at > :now and key.revoked_at is null",
        {"now": now(), "hashes": json.dumps(list(hashes))},
    )
    return frozenset(row["hash"] for row in rows)


def _key(row: sqlite3.Row) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        user_id=row["quel_member_id"],
        name=row["name"],
        operator=bool(row["operator"]),
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )
