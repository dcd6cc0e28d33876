"""The embedded records: one SQLite file, shared by several processes."""

from darkroom.records.sqlite.adapter import SqliteRecords

__all__ = ["SqliteRecords"]
