"""One time-skipping server for the tests of a pytest worker."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

import activities.errors
from darkroom.domain.names import SearchAttribute
from tests.support.programs import temporal_binary


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def skipping_client() -> AsyncIterator[Client]:
    """A client of the real server with time skipping: timers pass at once while nothing is under way.

    The older test server (Java) was tried: its long polls end in virtual time, and a job of twenty images
    with retries took a minute.
    """
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=temporal_binary(),
        dev_server_extra_args=["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"],
        dev_server_log_level="error",
        data_converter=pydantic_data_converter,
        search_attributes=[SearchAttributeKey.for_keyword(name) for name in SearchAttribute],
    ) as environment:
        yield environment.client


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server skips timers, not the back-off of activities: make that short."""
    monkeypatch.setattr(activities.errors, "retry_delay", lambda *_: timedelta(milliseconds=10))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for the pictures."""
    return tmp_path
