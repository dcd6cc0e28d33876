"""Groups of images in one transaction: what SQLite refuses of one is undone for that one."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from darkroom.domain.groups import Attached, AttachGroupInput, CreditGroupInput
from darkroom.domain.images import AttachInput, Settlement
from darkroom.domain.money import SettledImage
from darkroom.records.faults import passes
from darkroom.records.sqlite import rows
from darkroom.records.sqlite.database import savepoint
from darkroom.records.sqlite.images import attach_image
from darkroom.records.sqlite.settling import settle_image, shown

T = TypeVar("T")


def attach_group(
    db: sqlite3.Connection, group: AttachGroupInput, refusal: Callable[[Exception], str]
) -> list[Attached]:
    """Attach each image."""
    job = rows.short_job_row(db, group.job_id)

    def attached(image: AttachInput) -> Attached:
        return Attached.of(attach_image(db, job, image))

    def refused(error: Exception) -> Attached:
        return Attached(reason=refusal(error), refused=True)

    return [_or_refused(db, partial(attached, image), refused) for image in group.images()]


def settle_group(
    db: sqlite3.Connection, group: CreditGroupInput, refusal: Callable[[Exception], str]
) -> list[SettledImage]:
    """Settle each image."""
    job = rows.short_job_row(db, group.job_id)

    def refused(error: Exception) -> SettledImage:
        return SettledImage(settlement=Settlement.REFUSED, reason=refusal(error))

    settled = [
        _or_refused(db, partial(settle_image, db, job, key, group.run_id), refused) for key in group.image_keys()
    ]
    return shown(db, job, settled)


def _or_refused(db: sqlite3.Connection, change: Callable[[], T], refused: Callable[[Exception], T]) -> T:
    try:
        with savepoint(db):
            return change()
    except (sqlite3.Error, TypeError, ValueError) as error:  # the latter of rows that somebody set by hand
        if passes(error) or not db.in_transaction:
            raise
        return refused(error)
