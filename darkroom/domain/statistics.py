"""What providers did, by day (UTC)."""

from datetime import date

from darkroom.domain.model import Value


class ProviderDay(Value):
    """One provider's calls of one day, and what came of them. A call counts on the day it began."""

    day: date
    provider: str
    calls: int
    generated: int
    missed: int
    refused: int
    faults: int
    """Passing: tried again by Temporal."""
    unknown: int
    """Without an outcome: still under way, or their worker died."""
    seconds_p50: float | None
    """Half of the calls that brought a picture were quicker."""
    seconds_p95: float | None
    top_up_rounds: int
    recovered_images: int
    """Delivered in a top-up: a worker that stopped at the first miss would have left them out."""
    credits: int
    """Charged for its delivered pictures."""

    def rate(self, number: int) -> float:
        """A number of this day as a share of its calls."""
        return number / self.calls if self.calls else 0.0


class JobsDay(Value):
    """How the jobs ended that ended on one day."""

    day: date
    completed: int
    failed: int
    cancelled: int


class Statistics(Value):
    """Both, newest day first."""

    providers: tuple[ProviderDay, ...] = ()
    jobs: tuple[JobsDay, ...] = ()
