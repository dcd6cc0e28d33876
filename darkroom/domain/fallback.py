"""Which of an order's providers makes the next pictures (spec §5): pure, asked by the job's workflow."""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from darkroom.domain.continuing import QuotaKept, TurnsKept

SHORTEST_QUOTA_PAUSE = timedelta(seconds=60)
"""A quota that claims to be back at once must not become a busy loop of refused calls."""

LONGEST_QUOTA_PAUSE = timedelta(hours=1)
"""Of those that are longer than the provider asks for."""


class Quotas:
    """The listed providers of a job, and until when the daily quota of each is spent."""

    def __init__(self, providers: tuple[str, ...]) -> None:
        self.providers = providers
        self._until: dict[str, datetime] = {}
        self._reasons: dict[str, str | None] = {}
        self._pauses: Counter[str] = Counter()

    def shortest_pause(self, provider: str, now: datetime) -> timedelta:
        """How long a provider that says that its quota is spent is left alone at least, whatever it says of its return.

        Twice as long as the last time, until a picture of it has come. Several calls that are refused together count
        once.
        """
        if provider not in self._until or self._until[provider] <= now:
            self._pauses[provider] += 1
        doublings = min(self._pauses[provider] - 1, 10)
        pause: timedelta = SHORTEST_QUOTA_PAUSE * 2**doublings
        return min(pause, LONGEST_QUOTA_PAUSE)

    def note_delivered(self, provider: str) -> None:
        """A picture of this provider has come: its next pause is a short one again."""
        del self._pauses[provider]

    def keep(self) -> tuple[QuotaKept, ...]:
        """What another execution of the job has to know."""
        return tuple(
            QuotaKept(
                provider=name, until=self._until.get(name), reason=self._reasons.get(name), pauses=self._pauses[name]
            )
            for name in self.providers
            if name in self._until or self._pauses[name]
        )

    def restore(self, kept: Iterable[QuotaKept]) -> None:
        """Go on where another execution left off."""
        for quota in kept:
            if quota.until is not None:
                self.spend(quota.provider, quota.until, quota.reason)
            self._pauses[quota.provider] = quota.pauses

    def spend(self, provider: str, until: datetime, reason: str | None = None) -> None:
        """A provider's quota is spent; a later return replaces an earlier one."""
        self._until[provider] = max(until, self._until.get(provider, until))
        self._reasons[provider] = reason

    def forget(self) -> None:
        """Somebody says that they are back."""
        self._until.clear()
        self._pauses.clear()

    def free(self, now: datetime) -> tuple[str, ...]:
        """Those that may be asked, in their order."""
        return tuple(name for name in self.providers if name not in self._until or self._until[name] <= now)

    def back_at(self, provider: str) -> datetime | None:
        """When a provider's quota returns; None when it is not spent."""
        return self._until.get(provider)

    def reason(self, provider: str) -> str:
        """Why it cannot be asked, in its own words where it has any."""
        return self._reasons.get(provider) or "the provider's daily quota is used up"

    @property
    def first_back(self) -> datetime | None:
        """When the first of the spent quotas returns."""
        return min(self._until.values(), default=None)


class Turns:
    """Whose turn it is in one stage.

    It stays with a provider until that one is down, or refuses what another might do: then the next round goes
    to the next one, and the third refusal of a stage that has nothing yet is the last that this one is asked for.
    """

    def __init__(self, providers: tuple[str, ...]) -> None:
        self._providers = providers
        self._next = 0
        self._refused_last: str | None = None
        self._refusing: set[str] = set()
        self._refusals: Counter[str] = Counter()

    def keep(self) -> TurnsKept:
        """What another execution of the job has to know."""
        return TurnsKept(
            next=self._next,
            refused_last=self._refused_last,
            refusing=tuple(sorted(self._refusing)),
            refusals=tuple(sorted(self._refusals.items())),
        )

    def restore(self, kept: TurnsKept) -> None:
        """Go on where another execution left off."""
        self._next, self._refused_last = kept.next, kept.refused_last
        self._refusing, self._refusals = set(kept.refusing), Counter(dict(kept.refusals))

    def choose(self, free: Collection[str]) -> str | None:
        """The provider of the next pictures; None while all that are left have spent their quota."""
        count = len(self._providers)
        in_turn = (self._providers[(self._next + step) % count] for step in range(count))
        return next((name for name in in_turn if name in free and name not in self._refusing), None)

    @property
    def willing(self) -> tuple[str, ...]:
        """Those that have not refused the stage."""
        return tuple(name for name in self._providers if name not in self._refusing)

    def has_other(self, provider: str) -> bool:
        """Whether somebody else could be asked instead."""
        return any(name != provider for name in self.willing)

    def begin_round(self) -> None:
        """What one refused in the last round, the next one may do: with few rounds, none is spent on a second no."""
        if self._refused_last is not None:
            self._pass_on(self._refused_last)
            self._refused_last = None

    def note_down(self, provider: str) -> None:
        """It answered nothing for as long as we try: the next one is asked next."""
        self._pass_on(provider)

    def refusals(self, provider: str) -> int:
        """How often it refused pictures of this stage, without saying that this is final."""
        return self._refusals[provider]

    def note_refusals(self, provider: str, count: int) -> None:
        """Count more of them."""
        self._refusals[provider] += count
        if count:
            self._refused_last = provider

    def give_up(self, provider: str) -> bool:
        """It refuses the stage; whether another is left to ask."""
        self._refusing.add(provider)
        return bool(self.willing)

    def _pass_on(self, provider: str) -> None:
        self._next = (self._providers.index(provider) + 1) % len(self._providers)
