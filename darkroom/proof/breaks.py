"""Guards switched off, one at a time: what must then turn a proof red. Nothing of this is in what is shipped otherwise.

Each is a wrapper before a port of the proof's own workers, which changes what the port answers, or what the temporary
database remembers before it is asked.
"""

import asyncio
import fcntl
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGING = "staging/"
BREAK_VARIABLE = "DARKROOM_PROOF_BREAK"
BUSY = 20.0


@dataclass(frozen=True)
class Break:
    """One of them."""

    switches_off: str
    acts: tuple[str, ...]
    """The faults that it is to be seen under."""
    anonymous: bool = False


BREAKS: Mapping[str, Break] = {
    "settlement-key": Break("a picture that is settled twice is charged once", ("twice", "twice")),
    "run-fence": Break("nothing is done under a run that is closed", ("late_worker",), anonymous=True),
    "staging-first": Break("a picture is written down before anything looks into it", ("kill_all", "kill_all")),
    "salvage": Break("a cancelled stage delivers what is paid for and staged", ("kill_cancel",)),
    "hold": Break("credits of a running job are spent by no other", ("one_balance",)),
}
"""By name."""


class Unguarded:
    """A port that passes everything on; what a break changes is overridden."""

    def __init__(self, port: object, database: Path) -> None:
        self._port = port
        self._database = database

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._port, attribute)

    async def _edit(self, *statements: tuple[str, Sequence[object]]) -> list[Any]:
        return await asyncio.to_thread(_edited, self._database, statements)


def _edited(database: Path, statements: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
    with closing(sqlite3.connect(database, timeout=BUSY)) as db, db:
        return [db.execute(statement, tuple(values)).fetchall() for statement, values in statements]


class ForgettingKeys(Unguarded):
    """Records that have forgotten that a picture was settled, whenever it is settled again."""

    async def settle(self, key: Any, run_id: str) -> Any:
        await self._forget([key])
        return await self._port.settle(key, run_id)  # type: ignore[attr-defined]  # any records

    async def settle_group(self, group: Any) -> Any:
        await self._forget(list(group.image_keys()))
        return await self._port.settle_group(group)  # type: ignore[attr-defined]

    async def _forget(self, keys: Sequence[Any]) -> None:
        for key in keys:
            place = str(key.job_id), key.stage_index, key.ordinal
            which = "job_id = ? and stage_index = ? and ordinal = ?"
            charged = "select 1 from quel_credits where idempotency_key = ?"
            [found] = await self._edit((charged, [str(key)]))
            if found:
                await self._edit(
                    ("update quel_credits set idempotency_key = null where idempotency_key = ?", [str(key)]),
                    (f"update quel_attach set delivered_at = null where {which}", place),  # noqa: S608 - our own
                    (
                        "update quel_job_stages set delivered_images = delivered_images - 1 "
                        "where job_id = ? and stage_index = ?",
                        place[:2],
                    ),
                    ("update quel_credit_holds set amount = amount + 20 where job_id = ?", place[:1]),
                )


class AnyRun(Unguarded):
    """Records in which a closed run is open while it is asked for something."""

    async def begin_attempt(self, attempt: Any, *, looked: bool) -> Any:
        return await self._opened(attempt.run_id, self._port.begin_attempt(attempt, looked=looked))  # type: ignore[attr-defined]

    async def attach(self, image: Any) -> Any:
        return await self._opened(image.run_id, self._port.attach(image))  # type: ignore[attr-defined]

    async def settle(self, key: Any, run_id: str) -> Any:
        return await self._opened(run_id, self._port.settle(key, run_id))  # type: ignore[attr-defined]

    async def _opened(self, run_id: str, request: Any) -> Any:
        closed = "select closed_at from quel_job_runs where run_id = ?"
        row = "select job_id, job_status, cancel_requested from quel_production_jobs where current_run_id = ?"
        (was, job) = await self._edit((closed, [run_id]), (row, [run_id]))
        if not was or was[0][0] is None or not job:
            return await request
        job_id, status, cancelled = job[0]
        change = "update quel_production_jobs set job_status = ?, cancel_requested = ? where job_id = ?"
        run = "update quel_job_runs set closed_at = ? where run_id = ?"
        await self._edit((run, [None, run_id]), (change, ["processing", 0, job_id]))
        try:
            return await request
        finally:
            await self._edit((run, [was[0][0], run_id]), (change, [status, cancelled, job_id]))


class UncountedHolds(Unguarded):
    """Records in which other jobs' holds do not count when a job opens."""

    async def open_run(self, start: Any, *args: Any, **kwargs: Any) -> Any:
        # One at a time over all workers: a hold that came between the two edits would count.
        with self._database.with_suffix(".opening").open("a") as lock:
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            return await self._open_run(start, *args, **kwargs)

    async def _open_run(self, start: Any, *args: Any, **kwargs: Any) -> Any:
        job_id = str(start.job_id)
        [others] = await self._edit(
            ("select job_id from quel_credit_holds where released_at is null and job_id <> ?", [job_id])
        )
        hide = "update quel_credit_holds set released_at = ? where job_id = ?"
        await self._edit(*((hide, ["hidden", other]) for (other,) in others))
        try:
            return await self._port.open_run(start, *args, **kwargs)  # type: ignore[attr-defined]
        finally:
            await self._edit(*((hide, [None, other]) for (other,) in others))


class StagedInMemory(Unguarded):
    """A storage that acknowledges staged pictures before they are anywhere but in memory."""

    def __init__(self, port: object, database: Path) -> None:
        super().__init__(port, database)
        self._held: dict[str, bytes] = {}

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        if key.startswith(STAGING):
            self._held[key] = data
        else:
            await self._port.put(key, data, media_type)  # type: ignore[attr-defined]

    async def get(self, key: str) -> bytes | None:
        found = self._held.get(key)
        return found if found is not None else await self._port.get(key)  # type: ignore[attr-defined]

    async def exists(self, key: str) -> bool:
        return key in self._held or await self._port.exists(key)  # type: ignore[attr-defined]

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._held.pop(key, None)
        await self._port.delete(keys)  # type: ignore[attr-defined]

    async def keys(self, prefix: str) -> Sequence[str]:
        held = [key for key in self._held if key.startswith(prefix)]
        return [*held, *await self._port.keys(prefix)]  # type: ignore[attr-defined]


class NothingStaged(Unguarded):
    """A storage that shows nothing of what is staged of a cancelled job, to its end or to a call that is retried."""

    async def get(self, key: str) -> bytes | None:
        return None if await self._hidden(key) else await self._port.get(key)  # type: ignore[attr-defined]

    async def keys(self, prefix: str) -> Sequence[str]:
        return [] if await self._hidden(prefix) else await self._port.keys(prefix)  # type: ignore[attr-defined]

    async def _hidden(self, key: str) -> bool:
        if not key.startswith(STAGING):
            return False
        job_id = key.removeprefix(STAGING).partition("/")[0]
        cancelled = "select 1 from quel_production_jobs where job_id = ? and cancel_requested"
        [found] = await self._edit((cancelled, [job_id]))
        return bool(found)


RECORDS = {"settlement-key": ForgettingKeys, "run-fence": AnyRun, "hold": UncountedHolds}
STORAGE = {"staging-first": StagedInMemory, "salvage": NothingStaged}


def unguarded(records: object, storage: object, name: str, database: Path) -> tuple[object, object]:
    """Records and storage with one guard off."""
    if name in RECORDS:
        records = RECORDS[name](records, database)
    if name in STORAGE:
        storage = STORAGE[name](storage, database)
    return records, storage
