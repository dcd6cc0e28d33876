"""Attempts: one row per provider call, written before it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from darkroom.domain.ceilings import Ceilings, Spent
from darkroom.domain.costs import Usd
from darkroom.domain.images import ImageKey, Outcome
from darkroom.domain.model import Value


class Attempt(Value):
    """One request to call the provider."""

    key: ImageKey
    run_id: str
    call_id: UUID
    round: int
    provider: str
    model: str | None = None
    """Which of the provider's models draws; None where it has no choice of them."""
    attempt: int = 1
    """Which of Temporal's tries this call belongs to, from 1."""
    worker: str | None = None
    """The id of the worker that makes it (`darkroom.workers`); None where it has none."""
    taken_at: datetime | None = None
    """When its worker took this try from Temporal. One that stood still since may hold a try that was given up."""
    ceilings: Ceilings | None = None
    """What it is held against; None for nothing."""


class OpenCall(Value):
    """A call without an outcome: it is in progress, or its picture is staged, or its worker died."""

    ordinal: int
    call_id: UUID
    worker: str | None = None


MOST_ATTEMPTS = 20
"""Tries of one provider call; the last one ends in a miss (spec §5)."""

MOST_UNKNOWN_CALLS = 3
"""Calls of one image that ended without an outcome, because their worker died; the image is then a miss."""

WORKERS_DIED = f"{MOST_UNKNOWN_CALLS} calls ended without an outcome: their workers died"


GIVEN_UP = "a later try of this image has begun"


class Begin(StrEnum):
    """What `begin_attempt` answers."""

    BEGUN = "begun"
    """The row is written: call now, with nothing awaited in between."""
    DELIVERED = "delivered"
    DECIDED = "decided"
    """An earlier execution already got a miss or a refusal for this ordinal."""
    LOOK = "look"
    """Earlier calls may have left bytes in staging: look there, then ask again."""
    FULL = "full"
    """The stage has all it may deliver."""
    SPENT = "spent"
    """A daily ceiling is reached."""
    HELD = "held"
    """Paused, cancelled, ended or under another run."""


class BegunAttempt(Value):
    """The answer of `begin_attempt`."""

    begin: Begin
    attach_id: int | None = None
    call_id: UUID | None = None
    """With BEGUN: this call. With LOOK: the newest of the earlier calls."""
    call_ids: tuple[UUID, ...] = ()
    """With LOOK: the earlier calls, the newest first."""
    outcome: Outcome | None = None
    """With DECIDED: how it ended."""
    reason: str | None = None
    final: bool = False
    """With DECIDED: whether the refusal is final. With HELD: whether the run is over for good."""
    spent: Spent | None = None
    """With SPENT: by which ceiling, and until when."""


class AttemptEnd(Value):
    """How a provider call ended; `generated` is written by attach instead."""

    outcome: Outcome
    reason: str | None = None
    final: bool = False
    seconds: float
    cost_usd: Usd | None = None
    """None where nobody can tell."""
