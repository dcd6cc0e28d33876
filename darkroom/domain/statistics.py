"""Provider statistics by day (UTC)."""

from datetime import date
from decimal import Decimal

from darkroom.domain.costs import Costs
from darkroom.domain.model import Value


class ProviderDay(Value):
    """One provider's calls on one day, and their outcomes. A call counts on the day it started."""

    day: date
    provider: str
    calls: int
    generated: int
    missed: int
    refused: int
    faults: int
    """Transient: retried by Temporal."""
    unknown: int
    """Without an outcome: still in progress, or their worker died."""
    seconds_p50: float | None
    """The median of the calls that returned a picture."""
    seconds_p95: float | None
    top_up_rounds: int
    recovered_images: int
    """Delivered in a top-up round."""
    credits: int
    """Charged for its delivered pictures."""
    costs: Costs = Costs()

    def rate(self, number: int) -> float:
        """A number of this day as a share of its calls."""
        return number / self.calls if self.calls else 0.0


class JobsDay(Value):
    """The jobs that ended on one day, by status."""

    day: date
    completed: int
    failed: int
    cancelled: int


class Statistics(Value):
    """Statistics of providers and jobs, newest day first."""

    providers: tuple[ProviderDay, ...] = ()
    jobs: tuple[JobsDay, ...] = ()

    def drawn_up(self, credit_usd: Decimal | None) -> "Statistics":
        """With the account of each provider and day, at so many dollars a credit."""
        days = (day.model_copy(update={"costs": day.costs.drawn_up(day.credits, credit_usd)}) for day in self.providers)
        return self.model_copy(update={"providers": tuple(days)})
