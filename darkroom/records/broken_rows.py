"""Rows that somebody broke by hand: named in one line, and left out of lists, which show the others."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from darkroom.domain.errors import RecordsRefused
from darkroom.domain.model import Value
from darkroom.domain.wording import reason_of

V = TypeVar("V", bound=Value)
R = TypeVar("R")

log = structlog.get_logger(__name__)

_COLUMNS = {"status": "job_status", "user_id": "quel_member_id", "run_id": "current_run_id"}


def read_row(kind: type[V], row: Mapping[str, Any]) -> V:
    """A job's row as a value.

    Raises:
        RecordsRefused: a column holds what it must not.
    """
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "row"
        raise broken(row.get("job_id"), _COLUMNS.get(field, field), reason_of(first)) from None


def broken(job_id: object, column: str, reason: str) -> RecordsRefused:
    """A job's row has something unreadable in a column."""
    return RecordsRefused(f"job {job_id}: its row cannot be read: {column} {reason}; correct the row")


def readable(rows: Iterable[R], read: Callable[[R], V]) -> Iterator[V]:
    """The rows of a list that can be read; each of the others is a line in the log."""
    for row in rows:
        try:
            yield read(row)
        except RecordsRefused as error:
            log.warning("job left out of a list", reason=str(error))
