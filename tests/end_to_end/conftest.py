"""A Darkroom of its own for every test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.histories import check_histories
from tests.support.programs import temporal_binary
from tests.support.stacks.adapters import SUPABASE
from tests.support.stacks.process import ProcessStack, running_darkroom


@pytest.fixture
async def darkroom(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ProcessStack]:
    """Server and records of their own; afterwards the histories of all jobs are checked.

    Over SQLite and files, or over what a mark of `tests.support.stacks.adapters` says.
    """
    temporal_binary()
    over_supabase = getattr(request, "param", None) == SUPABASE
    supabase = request.getfixturevalue("supabase") if over_supabase else None
    async with running_darkroom(tmp_path, supabase) as darkroom:
        yield darkroom
        for job_id in darkroom.jobs:
            await check_histories(darkroom, job_id)
