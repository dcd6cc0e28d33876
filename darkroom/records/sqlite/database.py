"""SQLite off the event loop: one writer connection a process, every change in `BEGIN IMMEDIATE`."""

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from darkroom.disk import FULL, full_disk, lack_of_room
from darkroom.domain.errors import DarkroomError, RecordsRefused, RecordsUnavailable
from darkroom.fair_queue import FairQueue
from darkroom.gathering import Pace, Paced
from darkroom.records.faults import GIVE_UP, passes
from darkroom.records.sqlite.older_files import SCHEMA_VERSION, bring_up_to_date

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000

MOST_AT_ONCE = 100
"""Changes of one transaction: other processes wait for their turn meanwhile."""

INTERVAL, AT_ONCE = 0.1, 8
"""Of transactions for changes that may wait: where there are many, each costs more than the changes in it."""

AHEAD = 2
"""Readings of users that the thread is given: the one it works on, and the next. All others wait in turns."""

_PRIMARY = 0xFF
"""Of SQLite's error codes, what kind of error it is; the rest says more."""


class _Change(NamedTuple):
    """A change, and who waits for what it returns."""

    change: Callable[[sqlite3.Connection], Any]
    waiting: "Future[Any]"


class _Outcome(NamedTuple):
    """What a change returned, or the error that it raised before it was undone."""

    result: Any = None
    error: Exception | None = None

    def tell(self, waiting: "Future[Any]") -> None:
        """Pass it on, once it is committed."""
        if self.error is None:
            waiting.set_result(self.result)
        else:
            waiting.set_exception(self.error)


class Database:
    """One SQLite file (or `:memory:`), with a thread for changes and one for reading.

    Changes that come while others are being written go together next, in one transaction with one sync of the disk; one
    that comes alone waits for nobody. A change that came back is on disk: `synchronous=FULL`, because Temporal would
    never run an acknowledged settlement again after a power cut.
    """

    def __init__(self, path: Path | str, pace: Pace | None = None) -> None:
        self._path = str(path)
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="records-write")
        # A database in memory belongs to its one connection, so its readers take turns with the writer.
        in_memory = self._path == ":memory:"
        self._reading = self._writing if in_memory else ThreadPoolExecutor(1, thread_name_prefix="records-read")
        self._waiting: deque[_Change] = deque()
        self._commit_soon = Paced(self._begin_commit, pace or Pace(INTERVAL, AT_ONCE))
        self._readers = FairQueue(AHEAD, AHEAD)

    async def write(
        self, change: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Make a change; all of it is kept, or nothing, whatever becomes of those that share its transaction.

        It may be run more than once before it is kept.

        Raises:
            RecordsUnavailable: the file is locked, full or unreadable.
            RecordsRefused: anything else that SQLite says, or a row that cannot be read; retrying cannot help.
        """
        waiting = self._waiting_for(lambda db: change(db, *args, **kwargs))
        self._begin_commit()
        return await self._translated(asyncio.wrap_future(waiting))

    async def write_in_turn(
        self, change: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `write`; where many such changes come, they wait for one another, or for a change that does not wait."""
        waiting = self._waiting_for(lambda db: change(db, *args, **kwargs))
        self._commit_soon.ask()
        return await self._translated(asyncio.wrap_future(waiting))

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run something that changes nothing, in one consistent view, when it is the turn of whoever asks.

        Raises:
            RecordsUnavailable: the file is locked or unreadable.
            RecordsRefused: anything else that SQLite says, or a row that cannot be read; retrying cannot help.
        """

        def view() -> T:
            db = self._reader_connection()
            db.execute("begin")
            try:
                return query(db, *args, **kwargs)
            finally:
                db.rollback()

        async with self._readers.turn_of_who_asks():
            return await self._translated(asyncio.get_running_loop().run_in_executor(self._reading, view))

    async def close(self) -> None:
        """Close the connections, each in the thread that opened it, when what waits is written."""
        self._commit_soon.stop()
        while self._waiting:
            await asyncio.get_running_loop().run_in_executor(self._writing, self._commit_what_waits)
        for executor, connection in ((self._reading, self._reader), (self._writing, self._writer)):
            if connection is not None:
                await asyncio.get_running_loop().run_in_executor(executor, connection.close)
        self._reader = self._writer = None
        for executor in {self._reading, self._writing}:
            executor.shutdown(wait=False)

    def _waiting_for(self, change: Callable[[sqlite3.Connection], T]) -> "Future[T]":
        waiting: Future[T] = Future()
        self._waiting.append(_Change(change, waiting))
        return waiting

    def _begin_commit(self) -> None:
        self._writing.submit(self._commit_what_waits)

    def _commit_what_waits(self) -> None:
        """One transaction, and one sync of the disk, for all changes that came while the last one ran."""
        changes: list[_Change] = []
        while self._waiting and len(changes) < MOST_AT_ONCE:
            change = self._waiting.popleft()
            if change.waiting.set_running_or_notify_cancel():
                changes.append(change)
        if changes:
            self._commit(changes)
        if len(changes) == MOST_AT_ONCE:
            self._begin_commit()

    def _commit(self, changes: list["_Change"]) -> None:
        try:
            outcomes = self._in_one_transaction(changes)
        except Exception as error:  # noqa: BLE001 - each waits for its own
            if len(changes) == 1 or passes(error):
                for change in changes:
                    change.waiting.set_exception(error)
            else:
                # Nothing of them is kept, and only one may be to blame.
                for change in changes:
                    self._commit([change])
        else:
            for change, outcome in zip(changes, outcomes, strict=True):
                outcome.tell(change.waiting)

    def _in_one_transaction(self, changes: list["_Change"]) -> list["_Outcome"]:
        try:
            db = self._writer_connection()
            db.execute("begin immediate")
            try:
                outcomes = [_alone(db, changes[0])] if len(changes) == 1 else [_beside_others(db, it) for it in changes]
                db.commit()
            except BaseException:
                if db.in_transaction:
                    db.rollback()
                raise
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY == sqlite3.SQLITE_READONLY:
                self._forget_writer()
            raise
        return outcomes

    async def _translated(self, work: "asyncio.Future[T]") -> T:
        try:
            return await work
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            if self._disk_is_full(error):
                raise RecordsUnavailable(full_disk(self._path)) from error
            if passes(error):
                raise RecordsUnavailable(
                    f"records {self._path}: {error}; check the disk's space and the file's permissions"
                ) from error
            raise RecordsRefused(self.refusal(error)) from error
        except (TypeError, ValueError) as error:
            # SQLite keeps what it is given, so a column that somebody set by hand may hold anything.
            said = str(error).splitlines()[0]
            raise RecordsRefused(f"records {self._path}: a row cannot be read ({said}); correct the row") from error

    def refusal(self, error: Exception) -> str:
        """What a user reads of an error that retrying cannot help."""
        return f"records {self._path}: {error}; {GIVE_UP}"

    def _disk_is_full(self, error: Exception) -> bool:
        code = getattr(error, "sqlite_errorcode", None) or 0
        # Of a write to the log beside the file, SQLite says only that it failed.
        failed_write = code & _PRIMARY == sqlite3.SQLITE_IOERR and self._path != ":memory:"
        return code == sqlite3.SQLITE_FULL or (failed_write and lack_of_room(Path(self._path).parent) is not None)

    def _writer_connection(self) -> sqlite3.Connection:
        if self._writer is None:
            db = self._connect()
            db.execute("pragma temp_store = memory")  # what undoes one change of several needs no room in /var/tmp
            # Once it is there the schema needs no lock: several processes start at the same time.
            if db.execute("pragma user_version").fetchone()[0] < SCHEMA_VERSION:
                bring_up_to_date(db)
            self._writer = db
        return self._writer

    def _forget_writer(self) -> None:
        """Open the file anew for the next change: one that was opened read-only stays so for ever."""
        if self._writer is not None and self._path != ":memory:":
            self._writer.close()
            self._writer = None

    def _reader_connection(self) -> sqlite3.Connection:
        if self._reading is self._writing:
            return self._writer_connection()
        if self._reader is None:
            # The writer makes the schema; a reader that comes first would find an empty file.
            self._writing.submit(self._writer_connection).result()
            self._reader = self._connect()
        return self._reader

    def _connect(self) -> sqlite3.Connection:
        if self._path != ":memory:":
            try:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
                _make_private(Path(self._path))
            except OSError as error:
                if error.errno in FULL:
                    raise RecordsUnavailable(full_disk(self._path)) from None
                raise RecordsUnavailable(
                    f"records {self._path}: {error.strerror or error}; check DARKROOM_HOME"
                ) from None
        db = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
        db.row_factory = sqlite3.Row
        for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
            db.execute(f"pragma {pragma}")
        return db


def _make_private(path: Path) -> None:
    """Have a file that only its user reads; what SQLite keeps beside it gets the same permissions."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with suppress(OSError):  # another user's, or read-only: whoever reads it finds out
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def _alone(db: sqlite3.Connection, change: _Change) -> _Outcome:
    return _Outcome(change.change(db))


def _beside_others(db: sqlite3.Connection, change: _Change) -> _Outcome:
    """What our own rules refuse undoes itself only; what SQLite says may concern all of the transaction."""
    try:
        with savepoint(db):
            return _alone(db, change)
    except DarkroomError as error:
        return _Outcome(error=error)


@contextmanager
def savepoint(db: sqlite3.Connection) -> Iterator[None]:
    """A part of a transaction that leaves nothing behind when it raises."""
    db.execute("savepoint part")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("rollback to part")
            db.execute("release part")
        raise
    db.execute("release part")


def now() -> str:
    """The time as the records keep it: ISO 8601, UTC, microseconds, so that text order is time order."""
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    """A moment as the records keep it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
