"""Counts what a submission costs: calls of records, and documents read."""

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from darkroom.orders import ReadOrder, read_order
from darkroom.records import Records
from darkroom.records.sqlite import SqliteRecords

READ_ORDER = "read_order"


def counted_calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each method of records in SQLite is called from now on, by name, and `read_order`."""
    counts: Counter[str] = Counter()

    def counting(name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **named: Any) -> Any:
            counts[name] += 1
            return await method(*args, **named)

        return call

    for name, _ in inspect.getmembers(Records, inspect.iscoroutinefunction):
        if name != "close":
            monkeypatch.setattr(SqliteRecords, name, counting(name, getattr(SqliteRecords, name)))

    def reading(*args: Any, **named: Any) -> ReadOrder:
        counts[READ_ORDER] += 1
        return read_order(*args, **named)

    monkeypatch.setattr("darkroom.orders.intake.read_order", reading)
    return counts
