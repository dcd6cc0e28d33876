"""Every row of a SQLite file's tables, read past everything of ours."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Dump = Mapping[str, Sequence[Row]]

TABLES = {
    "quel_member": "quel_member_id",
    "quel_organization": "org_id",
    "quel_organization_member": "org_id, member_id",
    "quel_organization_opening": "org_id",
    "quel_credits": "id",
    "quel_credit_holds": "job_id",
    "quel_production_jobs": "job_id",
    "quel_production_photo": "production_id",
    "quel_job_stages": "job_id, stage_index",
    "quel_job_words": "job_id",
    "quel_deleted_jobs": "job_id",
    "quel_job_runs": "run_id",
    "quel_job_requests": "job_id, number",
    "quel_generation_attempts": "job_id, stage_index, ordinal, started_at, call_id",
    "quel_attach": "attach_id",
    "quel_books": "book_id",
    "quel_api_keys": "key_id",
    "quel_provider_offers": "offer_hash",
    "quel_api_sessions": "session_hash",
}


def _readable(row: sqlite3.Row) -> Row:
    found = dict(row)
    for column in ("attach_ids", "generated_attach_ids"):
        if column in found:
            found[column] = json.loads(found[column])
    return found


def dump_sqlite(db: sqlite3.Connection) -> Dump:
    """All tables of an open SQLite database."""
    return {
        table: [_readable(row) for row in db.execute(f"select * from {table} order by {order}")]  # noqa: S608 - our own names
        for table, order in TABLES.items()
    }


def dump_file(path: Path) -> Dump:
    """All tables of a SQLite file, read by a connection of our own."""
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    try:
        return dump_sqlite(db)
    finally:
        db.close()
