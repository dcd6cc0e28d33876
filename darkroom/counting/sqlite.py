"""Counters that the API processes of one DARKROOM_HOME share, in a SQLite file of their own."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time
from typing import Any, TypeVar

from darkroom.counting.windows import SlidingWindows

T = TypeVar("T")

FILE = "limits.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS windows (key TEXT NOT NULL, number INTEGER NOT NULL, count INTEGER NOT NULL,
    ends_at REAL NOT NULL, PRIMARY KEY (key, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (lease_id TEXT PRIMARY KEY, kind TEXT NOT NULL, holder TEXT NOT NULL,
    ends_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leases_by_holder ON leases (kind, holder);
"""


class SqliteCounters(SlidingWindows):
    """Rates as the package `limits` asks for them, and leases that end by themselves when their process dies.

    Args:
        home: the folder of the file; None keeps the counters in memory, for this process alone.
    """

    def __init__(self, home: Path | None) -> None:
        super().__init__(wrap_exceptions=True)
        self._path = None if home is None else home / FILE
        # One thread, and so one connection that is never used twice at a time.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")
        self._database: sqlite3.Connection | None = None

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """What goes wrong here."""
        return sqlite3.Error, OSError

    async def close(self) -> None:
        """Close the file; leases that are still held end by themselves."""
        database, self._database = self._database, None
        if database is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, database.close)
        self._thread.shutdown(wait=False)

    # -- Leases

    async def lease(self, lease_id: str, kind: str, holder: str, most: int, seconds: float) -> bool:
        """Take a lease, unless the holder has `most` of the kind."""

        def take(database: sqlite3.Connection) -> bool:
            now = time()
            database.execute("DELETE FROM leases WHERE ends_at <= ?", (now,))
            held = "SELECT count(*) FROM leases WHERE kind = ? AND holder = ?"
            if database.execute(held, (kind, holder)).fetchone()[0] >= most:
                return False
            database.execute("INSERT INTO leases VALUES (?, ?, ?, ?)", (lease_id, kind, holder, now + seconds))
            return True

        return await self._write(take)

    async def renew(self, lease_id: str, kind: str, holder: str, seconds: float) -> None:
        """Keep a lease, also one that ended while this process stood still."""
        statement = "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)"
        await self._write(lambda database: database.execute(statement, (lease_id, kind, holder, time() + seconds)))

    async def release(self, lease_id: str) -> None:
        """Give a lease back."""
        await self._write(lambda database: database.execute("DELETE FROM leases WHERE lease_id = ?", (lease_id,)))

    # -- Rates

    async def clear(self, key: str) -> None:
        """Forget a key."""
        await self._write(lambda database: database.execute("DELETE FROM windows WHERE key = ?", (key,)))

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count, unless the window is full."""

        def count(database: sqlite3.Connection) -> bool:
            now = time()
            previous, left, current, _ = _window(database, key, expiry, now)
            if int(previous * left / expiry + current) + amount > limit:
                return False
            database.execute("DELETE FROM windows WHERE ends_at <= ?", (now,))
            number = int(now // expiry)
            database.execute(
                "INSERT INTO windows VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (key, number, amount, (number + 2) * expiry),
            )
            return True

        return await self._write(count)

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Count and remaining seconds of the previous window and of this one."""
        return await self._write(lambda database: _window(database, key, expiry, time()))

    async def reset(self) -> int | None:
        """Forget every key."""
        return await self._write(lambda database: database.execute("DELETE FROM windows").rowcount)

    async def check(self) -> bool:
        """Whether the file can be used."""
        return await self._write(lambda database: database.execute("SELECT 1").fetchone() is not None)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transaction() -> T:
            database = self._opened()
            database.execute("BEGIN IMMEDIATE")
            try:
                result = work(database)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
            return result

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            if self._path is not None:
                self._path.touch(mode=0o600)
            where: Any = ":memory:" if self._path is None else self._path
            database = sqlite3.connect(where, timeout=5, isolation_level=None, check_same_thread=False)
            # What a power cut may take from here is a minute's counts.
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=OFF")
            database.executescript(_SCHEMA)
            self._database = database
        return self._database


def _window(database: sqlite3.Connection, key: str, expiry: int, now: float) -> tuple[int, float, int, float]:
    number = int(now // expiry)
    left = (number + 1) * expiry - now
    rows = database.execute("SELECT number, count FROM windows WHERE key = ? AND number >= ?", (key, number - 1))
    counts = dict(rows.fetchall())
    return counts.get(number - 1, 0), left, counts.get(number, 0), left + expiry
