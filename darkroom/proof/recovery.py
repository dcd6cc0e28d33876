"""How soon work that was lost with killed workers is in progress again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from darkroom.proof.tables import Row


@dataclass(frozen=True)
class Outage:
    """Workers were killed, and started again."""

    restarted: float
    calls: frozenset[str]
    """The ids of the calls that were in progress when they were killed, those of other workers among them."""


def recovered(outage: Outage, attempts: Sequence[Row]) -> float | None:
    """Seconds from the restart until the last of the lost images had a new call; None when none needed one.

    An image is lost when its call has never ended. What was found staged, and what a cancelled job no longer needed,
    has no second call and is not counted; what another worker took over before the restart took no time.

    Args:
        outage: the kill.
        attempts: all calls of all jobs, those that began earlier first.
    """
    lost = {_image(row): row for row in attempts if row["call_id"] in outage.calls and row["outcome"] is None}
    again: dict[tuple[object, ...], float] = {}
    for row in attempts:
        was = lost.get(_image(row))
        if was is not None and row["started_at"] > was["started_at"]:
            began = datetime.fromisoformat(row["started_at"]).timestamp()
            again.setdefault(_image(row), max(0.0, began - outage.restarted))
    return round(max(again.values()), 1) if again else None


def _image(row: Row) -> tuple[object, ...]:
    return row["job_id"], row["run_id"], row["stage_index"], row["ordinal"]
