"""What a stage still misses, which ordinals come next, how long to wait, when to stop (spec §2).

Round 0, a top-up and a restart all ask these same functions.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from enum import StrEnum

from darkroom.domain.model import Value
from darkroom.domain.stage_labels import StageLabel

PAGE = 500
"""Most ordinals handed out, and most `[ordinal, attach_id]` pairs carried, at a time."""

MAX_IMAGES_WITH_IDS = 2_000
"""Jobs above this size carry no ids in workflow histories; the job's row has them."""

LONGEST_TOP_UP_DELAY = timedelta(seconds=60)
REFUSALS_THAT_STOP_A_STAGE = 3


class StageStatus(StrEnum):
    """The status of a stage."""

    WAITING = "waiting"
    DELIVERING = "delivering"
    TOPPING_UP = "topping_up"
    COMPLETE = "complete"
    SHORT = "short"
    CANCELLED = "cancelled"


class StageCounts(Value):
    """What the records know of one stage: images, and ordinals whose last word was a miss or a refusal."""

    delivered: int = 0
    missed: int = 0
    refused: int = 0


class StagePlan(Value):
    """One stage as a run finds it: numbers only, no prompts."""

    stage_index: int
    label: StageLabel
    quantity: int
    target: int
    """Images this stage may deliver: its quantity, or its share of `max_credits` when that is less."""
    counts: StageCounts = StageCounts()


def next_ordinals(highest_attempted: int | None, decided: Collection[int], limit: int, page: int = PAGE) -> list[int]:
    """The ordinals to make next, ascending, at most `limit` and at most `page`.

    Takes every ordinal up to the highest ever attempted that is not decided (delivered, missed or
    refused); unattempted ones are among them, because a crash, a pause or a cancel leaves them. Then
    new ones above it. So an ordinal is never used twice for two pictures, and none is skipped.
    """
    count = max(0, min(limit, page))
    done = decided if isinstance(decided, set | frozenset) else set(decided)
    found: list[int] = []
    ordinal = 0
    top = -1 if highest_attempted is None else highest_attempted
    while len(found) < count:
        if ordinal > top or ordinal not in done:
            found.append(ordinal)
        ordinal += 1
    return found


def top_up_delay(round_: int, first: timedelta) -> timedelta:
    """How long to wait before a top-up round (1, 2, …): doubling from `first`, at most a minute."""
    if round_ < 1:
        return timedelta(0)
    # A week of doubling overflows timedelta; the exponent that reaches a minute from a microsecond is 26.
    doubled: timedelta = first * 2 ** min(round_ - 1, 26)
    return min(doubled, LONGEST_TOP_UP_DELAY)


def refusals_stop_stage(refusals: int, delivered_in_run: int) -> bool:
    """Whether refusals that are not final stop the stage: three, while nothing of it came in this run."""
    return refusals >= REFUSALS_THAT_STOP_A_STAGE and delivered_in_run == 0


def allot(quantities: Sequence[int], max_credits: int | None, prices: Sequence[int]) -> list[int]:
    """How many images each stage may deliver within `max_credits`, given to the stages in order.

    A part is never passed on: what one stage leaves unused does not reach another (spec §2).

    Args:
        quantities: ordered by each stage.
        max_credits: of the job.
        prices: of one image of each stage.
    """
    if max_credits is None:
        return list(quantities)
    left = max_credits
    parts: list[int] = []
    for quantity, price in zip(quantities, prices, strict=True):
        part = min(quantity, left // price) if price else quantity
        parts.append(part)
        left -= part * price
    return parts


def report_step(total_images: int) -> int:
    """New images a child waits for before it tells its parent (Temporal refuses the 10,001st signal)."""
    return max(1, -(-total_images // 2_000))
