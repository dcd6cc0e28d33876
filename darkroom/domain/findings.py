"""What a look at a deployment finds."""

from enum import StrEnum

from darkroom.domain.model import Value


class State(StrEnum):
    """How a thing stands."""

    GOOD = "good"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """Could not be looked at, because something before it is wrong, or from here never can."""


class Finding(Value):
    """One thing that was looked at."""

    what: str
    state: State
    told: str
    remedy: str | None = None
    """What to do, when it is wrong."""

    @classmethod
    def good(cls, what: str, told: str) -> "Finding":
        """It is as it should be."""
        return cls(what=what, state=State.GOOD, told=told)

    @classmethod
    def wrong(cls, what: str, told: str, remedy: str) -> "Finding":
        """It keeps jobs from running as promised."""
        return cls(what=what, state=State.WRONG, told=told, remedy=remedy)

    @classmethod
    def unknown(cls, what: str, told: str) -> "Finding":
        """It could not be looked at."""
        return cls(what=what, state=State.UNKNOWN, told=told)
