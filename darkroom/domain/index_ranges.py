"""Numbers of stages, written short: `0-4,7`."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

IndexRanges: TypeAlias = str
"""Ascending numbers and ranges of them, both ends included."""


def index_ranges(indexes: Iterable[int]) -> IndexRanges:
    """The numbers, ascending."""
    ranges: list[tuple[int, int]] = []
    for index in sorted(set(indexes)):
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1] = ranges[-1][0], index
        else:
            ranges.append((index, index))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def indexes_of(ranges: IndexRanges) -> Iterator[int]:
    """Each number that is meant."""
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
