"""The embedded records: one SQLite file, shared by several processes."""

from darkroom.records.sqlite.adapter import SqliteRecords
from darkroom.records.sqlite.older_files import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "SqliteRecords"]
