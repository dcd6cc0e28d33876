"""What the records say while others write them: read straight from the file, on a connection of its own."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

Image = tuple[int, int]
"""Stage and ordinal."""

# Written by SQLite inside the transaction that changes the flag, so that nothing can come between.
_WATCH = """
create table if not exists seen_flags (job_id text, flag text, attempts integer, at text);
create trigger if not exists see_cancel after update of cancel_requested on quel_production_jobs
when new.cancel_requested = 1 and old.cancel_requested = 0 begin
  insert into seen_flags select new.job_id, 'cancel', count(*), strftime('%Y-%m-%dT%H:%M:%f', 'now')
  from quel_generation_attempts where job_id = new.job_id;
end;
create trigger if not exists see_pause after update of paused on quel_production_jobs
when new.paused <> old.paused begin
  insert into seen_flags select new.job_id, case new.paused when 1 then 'pause' else 'resume' end, count(*),
  strftime('%Y-%m-%dT%H:%M:%f', 'now') from quel_generation_attempts where job_id = new.job_id;
end;
"""


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


class Reading:
    """Reads one records file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)

    def close(self) -> None:
        self._db.close()

    def watch_flags(self) -> None:
        """From now on, note how many attempts there were when a job was paused, resumed or cancelled."""
        self._db.executescript(_WATCH)

    def begin_attach_ids_at(self, attach_id: int) -> None:
        """Give the next attachment an id above this one, as in a deployment of many years."""
        self._db.execute("insert into sqlite_sequence (name, seq) values ('quel_attach', ?)", (attach_id,))

    def attempts_at(self, job_id: UUID, flag: str) -> int | None:
        """How many attempts the job had when its row took this flag for the first time; None before that."""
        found = self._db.execute(
            "select attempts from seen_flags where job_id = ? and flag = ? order by rowid", (str(job_id), flag)
        ).fetchone()
        return None if found is None else int(found[0])

    def attempts(self, job_id: UUID) -> list[Attempt]:
        """All provider calls of a job, oldest first."""
        return [
            Attempt(image=(stage, ordinal), outcome=outcome, call_id=call_id)
            for stage, ordinal, outcome, call_id in self._db.execute(
                "select stage_index, ordinal, outcome, call_id from quel_generation_attempts where job_id = ? "
                "order by rowid",
                (str(job_id),),
            )
        ]

    def outcomes(self, job_id: UUID, outcome: str | None) -> list[Image]:
        """The images of the attempts that ended so (None: not yet)."""
        return [attempt.image for attempt in self.attempts(job_id) if attempt.outcome == outcome]

    def delivered(self, job_id: UUID) -> set[Image]:
        """What is settled."""
        return set(
            self._db.execute(
                "select stage_index, ordinal from quel_attach where job_id = ? and delivered_at is not null",
                (str(job_id),),
            )
        )

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
        """The job's row beside what is settled."""
        self._db.execute("begin")
        try:
            completed, ids = self._db.execute(
                "select completed_images, generated_attach_ids from quel_production_jobs where job_id = ?",
                (str(job_id),),
            ).fetchone()
            oldest = self._db.execute(
                "select min(delivered_at) from quel_attach where job_id = ? and delivered_at is not null "
                "and attach_id not in (select value from json_each(?))",
                (str(job_id), ids),
            ).fetchone()[0]
            shown = [row[0] for row in self._db.execute("select value from json_each(?)", (ids,))]
            age = (datetime.now(UTC) - datetime.fromisoformat(oldest)).total_seconds() if oldest else 0.0
            return Snapshot(completed=completed, ids=shown, trail=age)
        finally:
            self._db.rollback()
