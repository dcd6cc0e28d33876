"""One Temporal server for the API tests of a pytest process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from darkroom.domain.names import SearchAttribute
from tests.support.programs import temporal_binary
from tests.support.stacks.api import ApiStack, running_api


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal() -> AsyncIterator[Client]:
    """A client of a real server."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal_binary(),
        dev_server_extra_args=["--log-level", "error"],
        data_converter=pydantic_data_converter,
        search_attributes=[SearchAttributeKey.for_keyword(name) for name in SearchAttribute],
    ) as environment:
        yield environment.client


@pytest.fixture
async def api(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API of the embedded default: no sign-in, the local user."""
    async with running_api(temporal, tmp_path) as running:
        yield running


@pytest.fixture
async def signed(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API as a deployment runs it: who asks must say who they are."""
    async with running_api(temporal, tmp_path, settings={"api_host": "0.0.0.0"}) as running:
        yield running


@pytest.fixture
async def quiet(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API without a worker: what is asked is written, and nothing runs."""
    async with running_api(temporal, tmp_path, workers=False) as running:
        yield running
