"""Daily ceilings (spec §4): what a provider may cost and a user may order in a day, from midnight to midnight UTC."""

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Self

from darkroom.domain.costs import Usd
from darkroom.domain.model import Value

IN_PROGRESS = timedelta(minutes=1)
"""Until a ceiling is asked again that only calls in progress keep shut."""


class Ceiling(StrEnum):
    """Which of them is reached."""

    PROVIDER = "provider"
    USER = "user"


class Spent(Value):
    """A ceiling that allows no further call."""

    ceiling: Ceiling
    until: datetime
    """When to ask again."""
    may_free: bool = False
    """Whether calls in progress may leave room before the day ends: they count in full until they end."""

    @classmethod
    def at(cls, ceiling: Ceiling, now: datetime, *, may_free: bool) -> Self:
        """Until the day ends, or for a moment."""
        return cls(ceiling=ceiling, until=now + IN_PROGRESS if may_free else day_of(now)[1], may_free=may_free)


class Ceilings(Value):
    """What a call is held against before it begins; None for no ceiling."""

    provider_usd: Usd | None
    """US dollars of each provider."""
    call_usd: Usd
    """What a call counts while its cost is not known."""
    user_credits: int | None
    """Credits of the pictures that were begun for one user."""

    def reached(self, spent: Spent, provider: str) -> str:
        """Why no call begins, for whoever reads it; customers' words are in `customers_words`."""
        if spent.ceiling is Ceiling.USER:
            which = f"the user's daily ceiling of {self.user_credits:,} credits"
        else:
            which = f"{provider}'s daily ceiling of ${self.provider_usd:,f} (PROVIDER_DAILY_USD)"
        moment = f"{spent.until:%Y-%m-%d %H:%M} UTC"
        if spent.may_free:
            return f"{which} has no room beside the calls in progress; next attempt at {moment}"
        return f"{which} is reached; it resets at {moment}"


def day_of(moment: datetime) -> tuple[datetime, datetime]:
    """When the day of a moment began, and when the next one begins."""
    began = datetime.combine(moment.astimezone(UTC).date(), time.min, tzinfo=UTC)
    return began, began + timedelta(days=1)
