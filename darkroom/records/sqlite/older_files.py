"""The tables of a file: made in a new one, brought up to date in one of an older Darkroom."""

import sqlite3
from collections.abc import Iterator
from importlib.resources import files

from darkroom.records.sqlite.words import note_words_of_all

SCHEMA_VERSION = 14
"""Kept in the file as `user_version`; one above the last when schema.sql changes."""

_SOURCE = {"source_sha256": "text", "source_media_type": "text", "source_c2pa": "integer"}

_ADDED = {
    "quel_production_jobs": {
        "failing": "integer not null default 0",
        "book_id": "text",
        "webhook_url": "text",
        "org_id": "text",
        "job_name": "text",
    },
    "quel_credits": {"org_id": "text", "used_by_member_id": "text"},
    "quel_credit_holds": {"org_id": "text"},
    "quel_generation_attempts": {
        "attempt": "integer not null default 1",
        "model": "text",
        "worker": "text",
        "cost_usd": "real",
        "quel_member_id": "text",
        "credits": "integer",
        **_SOURCE,
    },
    "quel_job_stages": {"format": "text", "image_size": "text", "unit_price": "integer"},
    "quel_attach": {**_SOURCE, "source_provider": "text", "source_model": "text", "deleted_at": "text"},
}
"""By table, columns that files of older versions lack."""

_WIDENED = {"quel_production_jobs": ("'failed', 'cancelled')", "'failed', 'cancelled', 'user_cancelled')")}
"""By table, what a check says, and what it says today."""


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Make what is missing: all of it in a new file, a few columns in one of an older Darkroom."""
    db.execute("begin immediate")
    try:
        for table, columns in _ADDED.items():
            there = {row["name"] for row in db.execute(f"pragma table_info({table})")}
            for column, kind in columns.items():
                if there and column not in there:
                    db.execute(f"alter table {table} add column {column} {kind}")
        if any(row["name"] == "quel_member_id" for row in db.execute("pragma table_info(quel_credits)")):
            db.execute("alter table quel_credits rename column quel_member_id to user_id")
        _widen_checks(db)
        for statement in _statements(files(__package__).joinpath("schema.sql").read_text("utf-8")):
            db.execute(statement)
        note_words_of_all(db)
        db.execute(f"pragma user_version = {SCHEMA_VERSION}")
        db.commit()
    except BaseException:
        db.rollback()
        raise


def _widen_checks(db: sqlite3.Connection) -> None:
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


def _statements(script: str) -> Iterator[str]:
    """One at a time: `executescript` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
