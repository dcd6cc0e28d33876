"""Deleting ended jobs: what they show goes, what they cost stays (spec §8)."""

import sqlite3
from datetime import datetime
from uuid import UUID

from darkroom.domain.deleting import DELETED, OF_BEFORE, DeletedFiles, Deletion, in_use, not_ended
from darkroom.domain.errors import JobNotFound
from darkroom.domain.names import MARKED_BESIDE, sidecar_key
from darkroom.domain.progress import JobStatus
from darkroom.domain.storybook import Book
from darkroom.records.broken_rows import read_row, readable
from darkroom.records.sqlite import rows
from darkroom.records.sqlite.database import now, stamp

_FOUND = f"""
select job.job_id, job_status, current_run_id, job_name as name, completed_at, book_id, gone.deleted_at,
  gone.cover, gone.files_removed_at is not null as files_removed,
  (select count(*) from quel_attach as image where image.job_id = job.job_id and delivered_at is not null) as pictures,
  (select coalesce(sum(attach_file_size), 0) from quel_attach as image
    where image.job_id = job.job_id and delivered_at is not null) as bytes,
  (select count(*) from quel_attach as image where image.job_id = job.job_id and delivered_at is not null
    and attach_file_path like '%{MARKED_BESIDE}.%') as marks,
  (select coalesce(sum(json_array_length(reference_images)), 0) from quel_job_stages as stage
    where stage.job_id = job.job_id) as "references"
from quel_production_jobs as job left join quel_deleted_jobs as gone using (job_id)
"""  # noqa: S608 - our own constant

_USERS = """
select stage.job_id, count(distinct image.attach_id) as pictures
from quel_production_jobs as other
join quel_job_stages as stage on stage.job_id = other.job_id
join json_each(stage.reference_images) as reference
join quel_attach as image on image.attach_id = reference.value ->> 'attach_id'
where other.job_status in ('pending', 'processing') and image.job_id = ? and other.job_id <> image.job_id
group by stage.job_id order by stage.job_id limit 1
"""


def deletion(db: sqlite3.Connection, job_id: UUID) -> Deletion | None:
    """What a delete removes, or has removed."""
    row = db.execute(f"{_FOUND} where job.job_id = ?", (str(job_id),)).fetchone()
    return None if row is None else _deletion(db, row)


def _deletion(db: sqlite3.Connection, row: sqlite3.Row) -> Deletion:
    status = JobStatus(rows.status_of(db, row))
    values = dict(row) | {"status": status, "files_removed": bool(row["files_removed"])}
    if row["deleted_at"] is None:
        values |= {"refusal": _refusal(db, row, status), "cover": _cover(db, row)}
    return read_row(Deletion, {name: values[name] for name in Deletion.model_fields if name in values})


def _refusal(db: sqlite3.Connection, row: sqlite3.Row, status: JobStatus) -> str | None:
    if not status.ended:
        return not_ended(status)
    if row["current_run_id"] is None and status is not JobStatus.CANCELLED:
        return OF_BEFORE
    user = db.execute(_USERS, (row["job_id"],)).fetchone()
    return None if user is None else in_use(UUID(user["job_id"]), user["pictures"])


def _cover(db: sqlite3.Connection, row: sqlite3.Row) -> str | None:
    """The cover of a book that no other job has made, so that it goes with this one."""
    book = db.execute(
        "select * from quel_books as book where book_id = ? and cover_image is not null and not exists ("
        "select 1 from quel_production_jobs as other where other.book_id = book.book_id and other.job_id <> ? "
        "and other.job_id not in (select job_id from quel_deleted_jobs))",
        (row["book_id"], row["job_id"]),
    ).fetchone()
    if book is None:
        return None
    cover = Book(book_id=book["book_id"], user_id=None, base_path=book["base_path"]).cover
    return cover if book["cover_image"] == cover else None


def begin_delete(db: sqlite3.Connection, job_id: UUID) -> Deletion:
    """Delete all that a job shows but its files; deleted before, nothing changes."""
    found = deletion(db, job_id)
    if found is None:
        raise JobNotFound(f"job {job_id} does not exist; `darkroom list` shows those that do")
    if found.deleted_at is not None or found.refusal is not None:
        return found
    job, moment = (str(job_id),), now()
    db.execute(
        "insert into quel_deleted_jobs (job_id, deleted_at, cover) values (?, ?, ?)", (*job, moment, found.cover)
    )
    db.execute("update quel_attach set deleted_at = ? where job_id = ? and delivered_at is not null", (moment, *job))
    db.execute("delete from quel_attach where job_id = ? and delivered_at is null", job)
    db.execute(
        "update quel_job_stages set label = 'stage ' || stage_index, prompt = '', reference_images = '[]' "
        "where job_id = ?",
        job,
    )
    db.execute("delete from quel_job_words where job_id = ?", job)
    db.execute(
        "update quel_production_jobs set job_name = null, job_input_data = '{}', updated_at = ? where job_id = ?",
        (moment, *job),
    )
    if found.cover is not None:
        db.execute(
            "update quel_books set cover_image = null, updated_at = ? where book_id = "
            "(select book_id from quel_production_jobs where job_id = ?)",
            (moment, *job),
        )
    return found.model_copy(update={"deleted_at": datetime.fromisoformat(moment)})


def deleted_files(db: sqlite3.Connection, job_id: UUID, after: int, limit: int) -> tuple[DeletedFiles, int | None]:
    """A page of the files of a deleted job."""
    gone = db.execute(
        "select quel_member_id, cover from quel_deleted_jobs join quel_production_jobs using (job_id) where job_id = ?",
        (str(job_id),),
    ).fetchone()
    if gone is None:
        raise JobNotFound(f"job {job_id} was not deleted")
    found = db.execute(
        "select attach_id, attach_file_path from quel_attach where job_id = ? and attach_id > ? "
        "and delivered_at is not null order by attach_id limit ?",
        (str(job_id), after, limit),
    ).fetchall()
    pictures = [row["attach_file_path"] for row in found]
    marks = [mark for path in pictures if (mark := sidecar_key(path)) is not None]
    files = DeletedFiles(user_id=gone["quel_member_id"], cover=gone["cover"], paths=tuple(pictures + marks))
    return files, found[-1]["attach_id"] if len(found) == limit else None


def finish_delete(db: sqlite3.Connection, job_id: UUID) -> None:
    """Note that the files are gone."""
    db.execute(
        "update quel_deleted_jobs set files_removed_at = ? where job_id = ? and files_removed_at is null",
        (now(), str(job_id)),
    )


def unfinished_deletes(db: sqlite3.Connection, limit: int) -> list[UUID]:
    """Deleted jobs whose files may still be there."""
    found = db.execute(
        "select job_id from quel_deleted_jobs where files_removed_at is null order by deleted_at limit ?", (limit,)
    )
    return [UUID(row["job_id"]) for row in found]


def ended_jobs(
    db: sqlite3.Connection, before: datetime, after: tuple[datetime, UUID] | None, limit: int
) -> list[Deletion]:
    """What deleting jobs would remove that ended before a moment."""
    place = ("", "") if after is None else (stamp(after[0]), str(after[1]))
    found = db.execute(
        f"{_FOUND} where job.completed_at < ? and (job.completed_at, job.job_id) > (?, ?) "
        "and job.job_status not in ('pending', 'processing') and gone.job_id is null "
        "and (job.current_run_id is not null or job.job_status in ('cancelled', 'user_cancelled')) "
        "order by job.completed_at, job.job_id limit ?",
        (stamp(before), *place, limit),
    ).fetchall()
    return list(readable(found, lambda row: _deletion(db, row)))


def why_not_again(db: sqlite3.Connection, job_id: UUID) -> str | None:
    """Why no run opens a job that was deleted."""
    return None if rows.deleted_at(db, str(job_id)) is None else f"the job {DELETED}"
