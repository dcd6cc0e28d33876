"""By what jobs are found in a list."""

import re
from collections.abc import Iterable
from datetime import date
from enum import StrEnum

from darkroom.domain.clean_text import one_clean_line
from darkroom.domain.progress import JobStatus

_BEGINNING = re.compile("[0-9a-f][0-9a-f-]{5,35}")

LONGEST_SEARCH = 200
"""Characters that are searched for at once."""

SEARCHED = 100_000
"""Characters of a job that are searched: its name, then its prompts, each once."""


class JobCondition(StrEnum):
    """What a job's status alone does not say."""

    RUNNING = "running"
    """Processing, and not paused."""
    PAUSED = "paused"
    SHORT = "short"
    """Completed, with pictures missing."""

    @property
    def status(self) -> JobStatus:
        """The status of the jobs that it holds for."""
        return JobStatus.COMPLETED if self is JobCondition.SHORT else JobStatus.PROCESSING


JobState = JobStatus | JobCondition


def read_state(word: str) -> JobState:
    """The state of a word.

    Raises:
        ValueError: there is no such state.
    """
    try:
        return JobCondition(word)
    except ValueError:
        return JobStatus(word)


STATES = tuple(dict.fromkeys(str(state) for state in (*JobStatus, *JobCondition)))
"""Every word for a state."""


DAY_WANTED = "must be a date such as 2026-11-27"
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_day(text: str) -> date:
    """The day that is written so, and in no other form of ISO 8601.

    Raises:
        ValueError: it is none.
    """
    if not _DAY.fullmatch(text):
        raise ValueError(DAY_WANTED)
    return date.fromisoformat(text)


def words_in(search: str) -> tuple[str, ...]:
    """What has to occur in a job, in lower case: every word, wherever it stands, in a name, in a prompt or in both."""
    return tuple(dict.fromkeys(one_clean_line(search).lower().split()))


def may_begin_an_id(word: str) -> bool:
    """Whether a word is long enough to look for it at the beginning of ids as well."""
    return _BEGINNING.fullmatch(word) is not None


def searched(name: str | None, prompts: Iterable[str]) -> str:
    """The text of a job in which words are looked for, in lower case."""
    return "\n".join(dict.fromkeys([name or "", *prompts])).lower()[:SEARCHED]
