"""A Darkroom of its own for every test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.end_to_end.histories import check_histories
from tests.end_to_end.stack import Darkroom, running_darkroom
from tests.parts import temporal_binary


@pytest.fixture
async def darkroom(tmp_path: Path) -> AsyncIterator[Darkroom]:
    """Server and records in a folder of their own; afterwards the histories of all jobs are checked."""
    temporal_binary()
    async with running_darkroom(tmp_path) as darkroom:
        yield darkroom
        for job_id in darkroom.jobs:
            await check_histories(darkroom, job_id)
