"""What jobs are called."""

import sqlite3
from uuid import UUID

from darkroom.domain.errors import JobNotFound
from darkroom.records.sqlite.database import now
from darkroom.records.sqlite.words import note_words


def rename_job(db: sqlite3.Connection, job_id: UUID, name: str | None) -> None:
    """Give a job another name, or none.

    Raises:
        JobNotFound: no such row.
    """
    renamed = db.execute(
        "update quel_production_jobs set job_name = ?, updated_at = ? where job_id = ? and job_name is not ?",
        (name, now(), str(job_id), name),
    )
    if renamed.rowcount:
        note_words(db, str(job_id))
    elif db.execute("select 1 from quel_production_jobs where job_id = ?", (str(job_id),)).fetchone() is None:
        raise JobNotFound(f"job {job_id} does not exist; `darkroom list` shows those that do")
