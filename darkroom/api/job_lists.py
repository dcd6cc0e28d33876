"""What a list of jobs is asked for, as it stands in URLs."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, ValidationError

from darkroom.api.problems import Problem
from darkroom.domain import finding
from darkroom.domain.finding import STATES, JobState, read_state
from darkroom.domain.snapshots import JobCursor


def read_states(text: str | None) -> frozenset[JobState]:
    """The states that a list is narrowed to; none for all.

    Raises:
        Problem: 400, one of them is unknown.
    """
    if text is None:
        return frozenset()
    try:
        return frozenset(read_state(name.strip()) for name in text.split(","))
    except ValueError:
        *others, last = (f"'{state}'" for state in STATES)
        known = f"{', '.join(others)} or {last}"
        raise Problem(400, f"status: must be {known}, or several of them separated by commas", field="status") from None


def _written_day(text: object) -> object:
    """Pydantic would read a number of seconds, too."""
    return finding.read_day(text) if isinstance(text, str) else text


Day = Annotated[date, BeforeValidator(_written_day)]
"""A day as it stands in URLs."""


def read_day(text: str) -> date | None:
    """The day that a form sent; None for none.

    Raises:
        Problem: 400, it is none.
    """
    try:
        return finding.read_day(text) if text else None
    except ValueError:
        raise Problem(400, f"day: {finding.DAY_WANTED}", field="day") from None


def write_cursor(cursor: JobCursor) -> str:
    """A place in a list, for `read_cursor`."""
    return urlsafe_b64encode(cursor.model_dump_json().encode()).decode().rstrip("=")


def read_cursor(text: str) -> JobCursor:
    """The place that `write_cursor` wrote.

    Raises:
        Problem: 400, it is none.
    """
    wrong = Problem(400, "cursor: must be the next_cursor of a page of jobs", field="cursor")
    try:
        cursor = JobCursor.model_validate_json(urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
    except (ValueError, ValidationError):
        raise wrong from None
    # Times that no job has: without a zone, or at an end of the calendar, where another zone is out of it.
    if cursor.created_at.tzinfo is None or not 2000 <= cursor.created_at.year < 9999:
        raise wrong
    return cursor
