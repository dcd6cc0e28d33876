"""Pictures that members uploaded, and what belongs to whom."""

import sqlite3
from collections.abc import Collection
from uuid import UUID

from darkroom.domain.orders import ReferenceOwner
from darkroom.domain.stored import NewReference, ProductionOwner, StoredFile
from darkroom.domain.usage import Usage
from darkroom.records.sqlite import rows
from darkroom.records.sqlite.database import now


def reference_owners(db: sqlite3.Connection, attach_ids: Collection[int]) -> dict[int, ReferenceOwner]:
    """Those that exist and can be shown: uploads, and images that were delivered."""
    found = {}
    for attach_id in attach_ids:
        row = db.execute(
            "select quel_member_id, attach_original_name from quel_attach where attach_id = ? "
            "and (job_id is null or (delivered_at is not null and deleted_at is null))",
            (attach_id,),
        ).fetchone()
        if row is not None:
            owner = rows.uuid_or_none(row["quel_member_id"])
            found[attach_id] = ReferenceOwner(attach_id=attach_id, user_id=owner, name=row["attach_original_name"])
    return found


def production_owner(db: sqlite3.Connection, production_id: UUID) -> ProductionOwner | None:
    """Whose production it is."""
    row = db.execute(
        "select quel_member_id from quel_production_photo where production_id = ?", (str(production_id),)
    ).fetchone()
    return None if row is None else ProductionOwner(user_id=rows.uuid_or_none(row["quel_member_id"]))


def usage(db: sqlite3.Connection, user_id: UUID) -> Usage:
    """Jobs that have not ended, and bytes of uploads."""
    (jobs,) = db.execute(
        "select count(*) from quel_production_jobs "
        "where quel_member_id = ? and job_status in ('pending', 'processing')",
        (str(user_id),),
    ).fetchone()
    (size,) = db.execute(
        "select coalesce(sum(attach_file_size), 0) from quel_attach where quel_member_id = ? and job_id is null",
        (str(user_id),),
    ).fetchone()
    return Usage(open_jobs=jobs, stored_bytes=size)


def stored_file(db: sqlite3.Connection, attach_id: int) -> StoredFile | None:
    """Where the file of an attachment lies that can be shown."""
    row = db.execute(
        "select * from quel_attach where attach_id = ? "
        "and (job_id is null or (delivered_at is not null and deleted_at is null))",
        (attach_id,),
    ).fetchone()
    if row is None:
        return None
    return StoredFile(
        attach_id=attach_id,
        path=row["attach_file_path"],
        media_type=row["attach_file_type"],
        user_id=rows.uuid_or_none(row["quel_member_id"]),
    )


def add_reference(db: sqlite3.Connection, reference: NewReference) -> int:
    """Record an uploaded picture, or find the row of the same picture of the same user."""
    known = db.execute(
        "select attach_id from quel_attach where sha256 = ? and job_id is null and quel_member_id is ? "
        "and attach_file_path = ?",
        (reference.sha256, rows.text_or_none(reference.user_id), reference.path),
    ).fetchone()
    if known is not None:
        return int(known["attach_id"])
    directory, _, name = reference.path.rpartition("/")
    cursor = db.execute(
        "insert into quel_attach (attach_original_name, attach_file_name, attach_file_path, attach_file_size, "
        "attach_file_type, attach_directory, attach_storage_type, quel_member_id, sha256, created_at) "
        "values (?, ?, ?, ?, ?, ?, 'darkroom', ?, ?, ?)",
        (
            reference.original_name,
            name,
            reference.path,
            reference.size,
            reference.media_type,
            directory,
            rows.text_or_none(reference.user_id),
            reference.sha256,
            now(),
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid
