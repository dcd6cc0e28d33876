"""The words by which jobs are found."""

import sqlite3

from darkroom.domain.finding import searched


def note_words(db: sqlite3.Connection, job_id: str) -> None:
    """Note what a job is found by from now on."""
    (name,) = db.execute("select job_name from quel_production_jobs where job_id = ?", (job_id,)).fetchone()
    prompts = db.execute("select prompt from quel_job_stages where job_id = ? order by stage_index", (job_id,))
    db.execute(
        "insert into quel_job_words (job_id, words) values (?, ?) "
        "on conflict (job_id) do update set words = excluded.words",
        (job_id, searched(name, [prompt for (prompt,) in prompts])),
    )


def note_words_of_all(db: sqlite3.Connection) -> None:
    """Note the words of jobs that have none, as in a file of an older Darkroom."""
    for (job_id,) in db.execute(
        "select job_id from quel_production_jobs where not exists "
        "(select 1 from quel_job_words as noted where noted.job_id = quel_production_jobs.job_id)"
    ).fetchall():
        note_words(db, job_id)
