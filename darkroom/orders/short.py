"""Short orders, which are read sooner than they are handed to a thread and back."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

MOST_STAGES, MOST_KEYS, MOST_CHARACTERS = 8, 16, 1_000

T = TypeVar("T")


async def read_aside(document: object, read: Callable[[], T]) -> T:
    """What a function reads of an order: at once if the order is short, otherwise in a thread.

    A long one takes up to a second, in which this process serves others. What the function raises is raised.
    """
    return read() if is_short(document) else await asyncio.to_thread(read)


def is_short(document: object) -> bool:
    """Whether an order is a few stages of short texts and numbers: nothing in it is deep, long or multiplied."""
    if not isinstance(document, dict) or len(document) > MOST_KEYS:
        return False
    stages = document.get("stages")
    if not isinstance(stages, list) or len(stages) > MOST_STAGES:
        return False
    rest = {key: value for key, value in document.items() if key != "stages"}
    return all(isinstance(part, dict) and len(part) <= MOST_KEYS and _is_flat(part) for part in (rest, *stages))


def _is_flat(part: dict[str, object]) -> bool:
    return not any(
        isinstance(value, (dict, list)) or (isinstance(value, str) and len(value) > MOST_CHARACTERS)
        for value in part.values()
    )
