"""Rows that somebody broke by hand: named in one line, and left out of lists, which show the others."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from darkroom.domain.errors import RecordsRefused
from darkroom.domain.model import Value
from darkroom.domain.wording import reason_of

V = TypeVar("V", bound=Value)
R = TypeVar("R")

log = structlog.get_logger(__name__)

_COLUMNS = {
    "status": "job_status",
    "user_id": "quel_member_id",
    "run_id": "current_run_id",
    "document": "job_input_data",
}
_COLUMNS_OF_A_PART = {
    "status": "stage_status",
    "completed": "delivered_images",
    "delivered": "delivered_images",
    "references": "reference_images",
}


def read_row(kind: type[V], row: Mapping[str, Any]) -> V:
    """A job's row as a value.

    Raises:
        RecordsRefused: a column holds what it must not.
    """
    with read_of(row.get("job_id")):
        return kind.model_validate(row)


@contextmanager
def read_of(job_id: object, part: str = "") -> Iterator[None]:
    """Values are made here of what the records hold of a job.

    Args:
        job_id: whose they are.
        part: what of the job it is, when it is not its row: `stage 0`, `receipt`.

    Raises:
        RecordsRefused: a column holds what it must not.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        names = _COLUMNS_OF_A_PART if part else _COLUMNS
        steps = [names.get(step, step) for step in first["loc"] if isinstance(step, str)]
        column = ": ".join(filter(None, (part, ".".join(steps)))) or "row"
        raise broken(job_id, column, reason_of(first)) from None


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
