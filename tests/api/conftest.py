"""One Temporal server for the API tests of a pytest process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client

from tests.support.stacks.api import ApiStack, running_api
from tests.support.stacks.temporal_server import running_temporal
from tests.support.tokens import SECRET


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal() -> AsyncIterator[Client]:
    """A client of a real server."""
    async with running_temporal() as client:
        yield client


@pytest.fixture
async def temporal_of_its_own() -> AsyncIterator[Client]:
    """A server for one test: its records are new, and so must be the jobs that an Idempotency-Key names."""
    async with running_temporal() as client:
        yield client


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


@pytest.fixture
async def with_tokens(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API that takes tokens of a project's users; nothing runs."""
    settings = {"api_host": "0.0.0.0", "supabase_jwt_secret": SECRET}
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as api:
        yield api
