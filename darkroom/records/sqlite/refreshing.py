"""The job's row shows what is settled: computed from the attachments, inside other transactions."""

import json
import sqlite3
import time
from uuid import UUID

from darkroom.records.sqlite.database import now
from darkroom.records.sqlite.rows import delivered_ids

LONGEST_TRAIL = 1.0
"""Seconds that the row may trail what is settled (spec §2)."""


def refresh(db: sqlite3.Connection, job_id: UUID) -> list[int]:
    """Make the row show every delivered image; gives their ids.

    Count and ids are written together, so that a reader never sees one without the other.
    """
    ids = delivered_ids(db, job_id)
    db.execute(
        "update quel_production_jobs set completed_images = :count, generated_attach_ids = :ids, refreshed_at = :time, "
        "updated_at = case when generated_attach_ids = :ids then updated_at else :now end where job_id = :job",
        {"count": len(ids), "ids": json.dumps(ids), "time": time.time(), "now": now(), "job": str(job_id)},
    )
    return ids


def refresh_if_due(db: sqlite3.Connection, job: sqlite3.Row) -> bool:
    """Refresh when the last one is a second old; True when it was done.

    A clock that was set back counts as due, or the row would trail until the clock caught up.
    """
    age = time.time() - float(job["refreshed_at"])
    if 0 <= age < LONGEST_TRAIL:
        return False
    refresh(db, UUID(job["job_id"]))
    return True
