"""How tests wait: for a condition, never for a time."""

from darkroom.proof.waiting import until

__all__ = ["until"]
