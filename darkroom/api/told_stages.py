"""A stage as followers are told it: encoded once for all customers, and once for all operators."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fastapi.sse import format_sse_event

from darkroom.api.shapes import StageView
from darkroom.domain.customers_words import for_customers
from darkroom.domain.movement import Retried
from darkroom.domain.snapshots import Frame, FrameState, JobSnapshot, Undelivered


@dataclass(frozen=True)
class ToldStage:
    """A stage, and since when it is like this."""

    version: int
    """The feed's, at which it last changed."""
    view: StageView
    """In an operator's words."""

    def event(self, number: str, *, operator: bool) -> bytes:
        """Its event, with so many pictures before it."""
        data = self._for_operators if operator else self._for_customers
        return format_sse_event(data_str=data, event="stage", id=number)

    @cached_property
    def _for_operators(self) -> str:
        return self.view.model_dump_json()

    @cached_property
    def _for_customers(self) -> str:
        return for_customers(self.view).model_dump_json()


def with_retry(stage_index: int, frame: Frame, retried: Mapping[tuple[int, int], Retried]) -> Frame:
    """A frame with the retry that is made of it, if one is."""
    one = retried.get((stage_index, frame.ordinal))
    if one is None or frame.state is not FrameState.MAKING:
        return frame
    return frame.model_copy(update={"reason": one.reason, "attempt": one.attempt})


def of_stage(snapshot: JobSnapshot, stage_index: int) -> list[Undelivered]:
    """What is not delivered of a stage."""
    return [one for one in snapshot.undelivered if one.stage_index == stage_index]
