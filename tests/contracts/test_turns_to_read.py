"""Users take turns to read the records: who asks for much keeps nobody else waiting."""

import asyncio
import sqlite3
import threading
from collections.abc import Hashable
from pathlib import Path

from darkroom.fair_queue import work_for
from darkroom.records.sqlite.database import AHEAD, Database


async def test_who_asks_for_much_waits_behind_themselves(tmp_path: Path) -> None:
    database, go_on = Database(tmp_path / "records.db"), threading.Event()
    read: list[Hashable] = []

    def reading(db: sqlite3.Connection, whose: Hashable) -> None:
        go_on.wait(30)
        db.execute("select 1")
        read.append(whose)

    async def ask(whose: str | None) -> None:
        work_for(whose)
        await database.read(reading, whose)

    asked = [asyncio.create_task(ask("much")) for _ in range(20)]
    await asyncio.sleep(0)
    asked += [asyncio.create_task(ask(whose)) for whose in ("other", None)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*asked)
    assert read.index("other") <= AHEAD + 1
    assert read.index(None) <= AHEAD + 1
    await database.close()
