"""The four steps of a picture as the other engines run them: empty, or with the work that Darkroom does in them.

The work: keep the bytes as they came, decode them and encode them as WebP, write the file, record it, charge for it.
Files are synced before they count, each record is a transaction that is synced, and each step may run twice.
"""

import contextlib
import os
import sqlite3
import threading
from pathlib import Path

from benchmarks.work import Pictures, Sample
from darkroom.decoding.codecs import encode_webp, inspect

QUALITY, METHOD = 90, 2
PRICE = 20

_SCHEMA = """
create table if not exists member (id integer primary key check (id = 1), balance integer check (balance >= 0));
create table if not exists attach (id integer primary key, key text unique, path text, size integer, delivered integer);
create table if not exists journal (key text primary key, amount integer, balance_after integer, attach_id integer);
"""


class Steps:
    """Empty steps: what the engine costs by itself."""

    def generate(self, key: str, ordinal: int) -> None:
        """Keep what the provider answered."""

    def upload(self, key: str) -> None:
        """Write the final file."""

    def attach(self, key: str) -> None:
        """Record it."""

    def credit(self, key: str) -> None:
        """Make it count, and charge for it."""


class RealSteps(Steps):
    """Steps that do the work, in a folder; one connection a process, as in Darkroom."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictures = Pictures(Sample.TINY)
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "records.db", isolation_level=None, check_same_thread=False, timeout=30)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_SCHEMA)
        self._db.execute("insert into member values (1, 1000000000) on conflict do nothing")

    def generate(self, key: str, ordinal: int) -> None:
        self._put(f"{key}.staged", self._pictures.fresh(ordinal))

    def upload(self, key: str) -> None:
        data = self._file(f"{key}.staged").read_bytes()
        inspect(data)
        self._put(f"{key}.webp", encode_webp(data, QUALITY, METHOD))

    def attach(self, key: str) -> None:
        size = self._file(f"{key}.webp").stat().st_size
        with self._lock:
            self._db.execute(
                "insert into attach (key, path, size) values (?, ?, ?) on conflict do nothing", (key, key, size)
            )

    def credit(self, key: str) -> None:
        with self._lock:
            self._db.execute("begin immediate")
            if self._db.execute("select 1 from journal where key = ?", (key,)).fetchone() is None:
                self._db.execute("update member set balance = balance - ?", (PRICE,))
                self._db.execute(
                    "insert into journal select ?, ?, balance, (select id from attach where key = ?) from member",
                    (key, -PRICE, key),
                )
                self._db.execute("update attach set delivered = 1 where key = ?", (key,))
            self._db.execute("commit")
        self._file(f"{key}.staged").unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / name.replace("/", "-")

    def _put(self, name: str, data: bytes) -> None:
        target = self._file(name)
        beside = target.with_suffix(".part")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)


def charged(folder: Path, label: str) -> int:
    """Pictures of a job that were delivered and charged, and have their file."""
    with contextlib.closing(sqlite3.connect(folder / "records.db")) as db:
        keys = db.execute(
            "select attach.key from attach join journal on attach.id = attach_id "
            "where delivered = 1 and substr(attach.key, 1, ?) = ?",
            (len(label) + 1, f"{label}/"),
        ).fetchall()
    return sum((folder / f"{key.replace('/', '-')}.webp").is_file() for (key,) in keys)
