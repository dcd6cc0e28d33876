"""Checks of tables in files of older versions, which say less than those of today."""

import sqlite3

_WIDENED = {"quel_production_jobs": ("'failed', 'cancelled')", "'failed', 'cancelled', 'user_cancelled')")}
"""By table, what a check says, and what it says today."""


def widen_checks(db: sqlite3.Connection) -> None:
    """Change the schema's text, as SQLite's documentation has it for changes that concern no stored row."""
    db.execute("pragma writable_schema = on")
    try:
        for table, (old, new) in _WIDENED.items():
            db.execute(
                "update sqlite_schema set sql = replace(sql, ?, ?) where type = 'table' and name = ?", (old, new, table)
            )
    finally:
        # Not `off`: this connection reads the schema again, too.
        db.execute("pragma writable_schema = reset")
