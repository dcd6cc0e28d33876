"""One time-skipping server for the tests of a pytest worker."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.common import RetryPolicy

import activities.errors
from tests.support.stacks.temporal_server import running_skipping_temporal
from workflows import policies


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def skipping_client() -> AsyncIterator[Client]:
    """A client of the real server with time skipping."""
    async with running_skipping_temporal() as client:
        yield client


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server skips timers, not the back-off of activities: make that short."""
    monkeypatch.setattr(activities.errors, "retry_delay", lambda *_: timedelta(milliseconds=10))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for the pictures."""
    return tmp_path


@pytest.fixture
def quick_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server skips timers, not the back-off of activities."""
    quick = RetryPolicy(initial_interval=timedelta(milliseconds=20), maximum_interval=timedelta(milliseconds=40))
    monkeypatch.setitem(policies.WEBHOOK, "retry_policy", quick)
