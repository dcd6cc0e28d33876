"""The activity behind the Temporal Schedule for housekeeping."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from temporalio import activity

from activities.errors import at_the_edge
from activities.liveness import finish_despite_cancel
from darkroom.domain.housekeeping import Tidied


class HousekeepingActivities:
    """Repairs what no workflow handles, and counts it in the worker's metrics."""

    def __init__(self, tidy: Callable[[], Coroutine[Any, Any, Tidied]]) -> None:
        self._tidy = tidy

    @activity.defn
    @at_the_edge
    async def tidy(self) -> Tidied:
        """Once through everything; what was found."""
        found = await finish_despite_cancel(asyncio.create_task(self._tidy()))
        meter = activity.metric_meter()
        for name, number in found.model_dump(exclude={"findings", "stuck_workflows"}).items():
            meter.create_counter(f"darkroom_housekeeping_{name}", "repaired by housekeeping").add(number)
        meter.create_gauge("darkroom_audit_findings", "broken invariants at the last audit").set(found.findings)
        meter.create_gauge("darkroom_stuck_workflows", "workflows whose task keeps failing").set(found.stuck_workflows)
        return found
