"""What the records say while others write them: read behind the port's back, on a connection of its own."""

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import psycopg

from darkroom.proof.tables import Dump, dump_file
from tests.support.records.tables import PostgresTables

Image = tuple[int, int]
"""Stage and ordinal."""


@dataclass(frozen=True)
class Attempt:
    """One provider call as its row shows it."""

    image: Image
    outcome: str | None
    call_id: str


@dataclass(frozen=True)
class Snapshot:
    """The job's row and what is settled, in one view."""

    completed: int
    ids: list[int]
    trail: float
    """Seconds since the oldest settlement that the row does not show."""


class Tables(Protocol):
    """One adapter's tables, in plain SQL with `:name` values; UUIDs are given and compared as text."""

    in_order: str
    """The column by which attempts are in the order in which they were written."""

    def rows(self, statement: str, **values: object) -> Sequence[Sequence[Any]]:
        """What a statement finds."""
        ...

    def watch_flags(self) -> None:
        """Make `seen_flags`: a row for each pause, resume and cancel that a job's row takes."""
        ...

    def begin_attach_ids_at(self, attach_id: int) -> None:
        """Give the next attachment an id above this one."""
        ...

    def plant(self, statement: str) -> None:
        """Change something behind the port's back."""
        ...

    async def dump(self) -> Dump:
        """Every row of every table."""
        ...

    def close(self) -> None:
        """Let go of the connection, and leave nothing of our own behind."""
        ...


class Reading:
    """Reads one Darkroom's records."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def close(self) -> None:
        self._tables.close()

    async def dump(self) -> Dump:
        """Every row of every table."""
        return await self._tables.dump()

    def watch_flags(self) -> None:
        """From now on, note how many attempts there were when a job was paused, resumed or cancelled."""
        self._tables.watch_flags()

    def begin_attach_ids_at(self, attach_id: int) -> None:
        """Give the next attachment an id above this one, as in a deployment of many years."""
        self._tables.begin_attach_ids_at(attach_id)

    def plant(self, statement: str) -> None:
        """Change something behind the port's back: what a mistake elsewhere would leave."""
        self._tables.plant(statement)

    def attempts_at(self, job_id: UUID, flag: str) -> int | None:
        """How many attempts the job had when its row took this flag for the first time; None before that."""
        statement = "select attempts from seen_flags where job_id = :job and flag = :flag order by at limit 1"
        found = self._tables.rows(statement, job=str(job_id), flag=flag)
        return int(found[0][0]) if found else None

    def attempts(self, job_id: UUID) -> list[Attempt]:
        """All provider calls of a job, oldest first."""
        statement = (
            "select stage_index, ordinal, outcome, call_id from quel_generation_attempts where job_id = :job "
            f"order by {self._tables.in_order}"
        )
        return [
            Attempt(image=(stage, ordinal), outcome=outcome, call_id=str(call_id))
            for stage, ordinal, outcome, call_id in self._tables.rows(statement, job=str(job_id))
        ]

    def outcomes(self, job_id: UUID, outcome: str | None) -> list[Image]:
        """The images of the attempts that ended so (None: not yet)."""
        return [attempt.image for attempt in self.attempts(job_id) if attempt.outcome == outcome]

    def delivered(self, job_id: UUID) -> set[Image]:
        """What is settled."""
        statement = "select stage_index, ordinal from quel_attach where job_id = :job and delivered_at is not null"
        return {(stage, ordinal) for stage, ordinal in self._tables.rows(statement, job=str(job_id))}

    def unfinished(self, job_id: UUID) -> dict[Image, int]:
        """Images on their way: called for, neither delivered nor missed nor waiting for a retry; their calls."""
        attempts = self.attempts(job_id)
        delivered = self.delivered(job_id)
        last = {attempt.image: attempt.outcome for attempt in attempts}
        return {
            image: sum(attempt.image == image for attempt in attempts)
            for image, outcome in last.items()
            if image not in delivered and outcome in (None, "generated")
        }

    def snapshot(self, job_id: UUID) -> Snapshot:
        """The job's row beside what is settled; one statement, so one view."""
        rows = self._tables.rows(
            "select job.completed_images, job.generated_attach_ids, image.attach_id, image.delivered_at "
            "from quel_production_jobs as job left join quel_attach as image "
            "on image.job_id = job.job_id and image.delivered_at is not null where job.job_id = :job",
            job=str(job_id),
        )
        completed, ids = rows[0][0], _from_json(rows[0][1])
        unseen = [_moment(at) for _, _, attach_id, at in rows if attach_id is not None and attach_id not in set(ids)]
        trail = (datetime.now(UTC) - min(unseen)).total_seconds() if unseen else 0.0
        return Snapshot(completed=completed, ids=ids, trail=trail)


def _from_json(value: str | list[int]) -> list[int]:
    found: list[int] = json.loads(value) if isinstance(value, str) else value
    return found


def _moment(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


# Written inside the transaction that changes the flag, so that nothing can come between.
_WATCH_SQLITE = """
create table if not exists seen_flags (at integer primary key, job_id text, flag text, attempts integer);
create trigger if not exists see_cancel after update of cancel_requested on quel_production_jobs
when new.cancel_requested = 1 and old.cancel_requested = 0 begin
  insert into seen_flags (job_id, flag, attempts) select new.job_id, 'cancel', count(*)
  from quel_generation_attempts where job_id = new.job_id;
end;
create trigger if not exists see_pause after update of paused on quel_production_jobs
when new.paused <> old.paused begin
  insert into seen_flags (job_id, flag, attempts) select new.job_id, case new.paused when 1 then 'pause'
  else 'resume' end, count(*) from quel_generation_attempts where job_id = new.job_id;
end;
"""


class FileTables:
    """The tables of a SQLite file."""

    in_order = "rowid"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)

    def rows(self, statement: str, **values: object) -> Sequence[Sequence[Any]]:
        return self._db.execute(statement, values).fetchall()

    def watch_flags(self) -> None:
        self._db.executescript(_WATCH_SQLITE)

    def begin_attach_ids_at(self, attach_id: int) -> None:
        self._db.execute("insert into sqlite_sequence (name, seq) values ('quel_attach', ?)", (attach_id,))

    def plant(self, statement: str) -> None:
        self._db.execute(statement)

    async def dump(self) -> Dump:
        return dump_file(self._path)

    def close(self) -> None:
        self._db.close()


# The trigger holds the job's row, which every attempt needs, and sees whatever was committed before it had it.
_WATCH_POSTGRES = """
drop schema if exists watching cascade;
create schema watching;
create table watching.seen_flags (at bigint generated always as identity, job_id text, flag text, attempts integer);
create function watching.note_flag() returns trigger language plpgsql security definer as $$
begin
  insert into watching.seen_flags (job_id, flag, attempts) select new.job_id, case
    when new.cancel_requested and not old.cancel_requested then 'cancel' when new.paused then 'pause' else 'resume'
  end, count(*) from public.quel_generation_attempts where job_id = new.job_id;
  return null;
end
$$;
create trigger note_flag after update on public.quel_production_jobs for each row
when (new.paused <> old.paused or new.cancel_requested and not old.cancel_requested)
execute function watching.note_flag();
"""


class ProjectTables:
    """The tables of a Supabase project, through a superuser's connection, opened anew after an outage."""

    in_order = "attempt_id"

    def __init__(self, database_uri: str) -> None:
        self._uri = database_uri
        self._db = self._connect()
        self._watching = False

    def rows(self, statement: str, **values: object) -> Sequence[Sequence[Any]]:
        named = re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", statement)
        try:
            return self._db.execute(named, values).fetchall()
        except psycopg.OperationalError:
            if not self._db.closed:
                raise
            # PostgreSQL was away since the last question; this one changes nothing, so it can be asked again.
            self._db = self._connect()
            return self._db.execute(named, values).fetchall()

    def watch_flags(self) -> None:
        self._db.execute(_WATCH_POSTGRES)
        self._watching = True

    def begin_attach_ids_at(self, attach_id: int) -> None:
        self._db.execute(f"alter table quel_attach alter attach_id restart with {attach_id + 1}")

    def plant(self, statement: str) -> None:
        self._db.execute(statement.encode())

    async def dump(self) -> Dump:
        return await PostgresTables(self._uri).dump()

    def close(self) -> None:
        self._db.close()
        if self._watching:
            with self._connect() as db:
                db.execute("drop schema watching cascade")

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._uri, autocommit=True, options="-c search_path=public,watching")
