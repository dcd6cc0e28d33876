"""What a seed decides: the job of each run, and what happens to it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from darkroom.domain.orders import JobType
from darkroom.proof.acts import ACTS, LAST
from darkroom.proof.breaks import BREAKS

T = TypeVar("T")

WALLETS = ("member", "organization", "anonymous")
SIZES = (36, 60, 120, 180)
"""About how many pictures."""
SHORT = 24
ACTS_EACH = 3
SHORT_TEMPO = 0.3


@dataclass(frozen=True)
class Plan:
    """One run."""

    number: int
    seed: str
    job_type: JobType
    wallet: str
    pictures: int
    """About."""
    acts: tuple[str, ...]
    guard: str | None = None
    """The one that is switched off."""
    short: bool = False
    """Whether its faults are over sooner."""

    @property
    def tempo(self) -> float:
        """What the lengths of its faults are multiplied by."""
        return SHORT_TEMPO if self.short else 1.0


def plans(seed: int, runs: int, *, guard: str | None = None, short: bool = False) -> list[Plan]:
    """The runs of a proof: every type of order, every wallet and every act in turn, in an order that the seed gives."""
    rng = random.Random(f"{seed}")  # noqa: S311 - a plan
    found = []
    kinds, wallets, acts = _endless(rng, list(JobType)), _endless(rng, WALLETS), _endless(rng, list(ACTS))
    for number in range(1, runs + 1):
        off = BREAKS.get(guard or "")
        chosen = list(off.acts) if off else [next(acts) for _ in range(ACTS_EACH)]
        chosen.sort(key=lambda name: name in LAST)
        found.append(
            Plan(
                number=number,
                seed=f"{seed}-{number}",
                job_type=JobType.PIPELINE_STAGE if off else next(kinds),
                wallet=("anonymous" if off.anonymous else "member") if off else next(wallets),
                pictures=SIZES[1] if off else SHORT if short else rng.choice(SIZES),
                acts=tuple(chosen),
                guard=guard,
                short=short and off is None,
            )
        )
    return found


def _endless(rng: random.Random, things: Sequence[T]) -> Iterator[T]:
    while True:
        yield from rng.sample(things, len(things))
