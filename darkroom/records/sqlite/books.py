"""Books: their rows, and what became of their pages (spec §7)."""

import sqlite3
from uuid import UUID

from darkroom.domain.storybook import DONE_PERCENT, DONE_STAGE, Book, BookResult, Page
from darkroom.records.sqlite import rows
from darkroom.records.sqlite.database import now


def book(db: sqlite3.Connection, book_id: UUID) -> Book | None:
    """A book's row."""
    row = db.execute("select * from quel_books where book_id = ?", (str(book_id),)).fetchone()
    return None if row is None else _book(row)


def ensure_book(db: sqlite3.Connection, book: Book) -> None:
    """Create the row unless there is one."""
    db.execute(
        "insert into quel_books (book_id, quel_member_id, base_path, updated_at) values (?, ?, ?, ?) "
        "on conflict (book_id) do nothing",
        (str(book.book_id), rows.text_or_none(book.user_id), book.base_path, now()),
    )


def book_of(db: sqlite3.Connection, job_id: UUID) -> Book | None:
    """The book whose pages a job makes."""
    row = db.execute(
        "select book.* from quel_production_jobs as job join quel_books as book using (book_id) where job_id = ?",
        (str(job_id),),
    ).fetchone()
    return None if row is None else _book(row)


def book_pages(db: sqlite3.Connection, job_id: UUID) -> list[Page]:
    """A page per stage; its last error is that of the newest call that brought none."""
    return [
        Page(
            page=position,
            label=row["label"],
            attach_id=row["attach_id"],
            path=row["attach_file_path"],
            attempts=row["attempts"],
            last_error=row["last_error"],
        )
        for position, row in enumerate(
            db.execute(
                "select label, image.attach_id, attach_file_path, "
                "(select count(*) from quel_generation_attempts as call where call.job_id = stage.job_id "
                "and call.stage_index = stage.stage_index) as attempts, "
                "(select call.reason from quel_generation_attempts as call where call.job_id = stage.job_id "
                "and call.stage_index = stage.stage_index and call.reason is not null "
                "order by started_at desc, rowid desc limit 1) as last_error "
                "from quel_job_stages as stage left join quel_attach as image on image.job_id = stage.job_id "
                "and image.stage_index = stage.stage_index and image.delivered_at is not null "
                "where stage.job_id = ? order by stage.stage_index",
                (str(job_id),),
            ),
            start=1,
        )
    ]


def finish_book(db: sqlite3.Connection, job_id: UUID, run_id: str, result: BookResult, *, pictures_done: bool) -> None:
    """Write what came of the pages, if this run is the job's open one."""
    job = rows.job_row(db, job_id)
    if rows.refuse_run(db, job, run_id) is not None or job["book_id"] is None:
        return
    db.execute(
        "update quel_books set task_metadata = ?, cover_image = coalesce(?, cover_image), updated_at = ?, "
        "pipeline_stage = case when ? then ? else pipeline_stage end, "
        "progress_percentage = case when ? then ? else progress_percentage end where book_id = ?",
        (
            result.model_dump_json(),
            result.cover_image,
            now(),
            pictures_done,
            DONE_STAGE,
            pictures_done,
            DONE_PERCENT,
            job["book_id"],
        ),
    )


def _book(row: sqlite3.Row) -> Book:
    return Book(book_id=row["book_id"], user_id=rows.uuid_or_none(row["quel_member_id"]), base_path=row["base_path"])
