"""The findings of a check of a deployment."""

from enum import StrEnum

from darkroom.domain.model import Value


class State(StrEnum):
    """The outcome of a check."""

    GOOD = "good"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """Could not be checked, because something before it is wrong, or because it cannot be checked from here."""


class Finding(Value):
    """One thing that was checked."""

    what: str
    state: State
    told: str
    remedy: str | None = None
    """What to do, when it is wrong."""

    @classmethod
    def good(cls, what: str, told: str) -> "Finding":
        """It works."""
        return cls(what=what, state=State.GOOD, told=told)

    @classmethod
    def wrong(cls, what: str, told: str, remedy: str) -> "Finding":
        """It keeps jobs from running as promised."""
        return cls(what=what, state=State.WRONG, told=told, remedy=remedy)

    @classmethod
    def wrong_by(cls, what: str, sentence: str, otherwise: str) -> "Finding":
        """It keeps jobs from running as promised, by a message that may end in a remedy.

        Args:
            what: was checked.
            sentence: `reason; remedy`, or a reason alone.
            otherwise: the remedy where the message has none.
        """
        reason, _, remedy = sentence.rpartition("; ")
        return cls.wrong(what, reason or sentence, remedy if reason else otherwise)

    @classmethod
    def unknown(cls, what: str, told: str) -> "Finding":
        """It could not be checked."""
        return cls(what=what, state=State.UNKNOWN, told=told)
