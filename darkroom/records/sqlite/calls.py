"""Calls that may have left a picture, or still may: asked by those who look for what is paid for."""

import sqlite3
from datetime import UTC, datetime, timedelta
from uuid import UUID

from darkroom.domain.attempts import OpenCall
from darkroom.domain.sources import PictureOrigin, PictureSource
from darkroom.records.sqlite.database import stamp


def unsettled_attempts(
    db: sqlite3.Connection, job_id: UUID, stage_index: int, after: int, limit: int
) -> list[tuple[int, UUID]]:
    """Calls without an outcome, or generated and not settled: all those of so many ordinals."""
    return [
        (row["ordinal"], UUID(row["call_id"]))
        for row in db.execute(
            "with page as (select distinct ordinal from quel_generation_attempts as attempt "
            "where job_id = :job and stage_index = :stage and ordinal > :after "
            "and (outcome is null or outcome = 'generated') "
            "and not exists (select 1 from quel_attach as image where image.job_id = attempt.job_id "
            "and image.stage_index = attempt.stage_index and image.ordinal = attempt.ordinal "
            "and delivered_at is not null) order by ordinal limit :limit) "
            "select ordinal, call_id from quel_generation_attempts join page using (ordinal) "
            "where job_id = :job and stage_index = :stage and (outcome is null or outcome = 'generated') "
            "order by ordinal, started_at desc, quel_generation_attempts.rowid desc",
            {"job": str(job_id), "stage": stage_index, "after": after, "limit": limit},
        )
    ]


def open_calls(db: sqlite3.Connection, job_id: UUID, stage_index: int, within_seconds: float) -> list[OpenCall]:
    """Calls without an outcome, of images that are not delivered, that started at most so long ago."""
    since = stamp(datetime.now(UTC) - timedelta(seconds=within_seconds))
    found = db.execute(
        "select ordinal, call_id, worker from quel_generation_attempts as attempt "
        "where job_id = ? and stage_index = ? and outcome is null and started_at > ? "
        "and not exists (select 1 from quel_attach as image where image.job_id = attempt.job_id "
        "and image.stage_index = attempt.stage_index and image.ordinal = attempt.ordinal "
        "and delivered_at is not null)",
        (str(job_id), stage_index, since),
    )
    return [OpenCall(**row) for row in found]


def note_source(db: sqlite3.Connection, call_id: UUID, source: PictureSource) -> PictureOrigin:
    """Write what a call brought; who drew it."""
    drawn = db.execute(
        "update quel_generation_attempts set source_sha256 = ?, source_media_type = ?, source_c2pa = ? "
        "where call_id = ? returning provider, model",
        (source.sha256, source.media_type, source.c2pa, str(call_id)),
    ).fetchone()
    return PictureOrigin() if drawn is None else PictureOrigin(**drawn)
