"""`import darkroom`: few names, typed, and nothing loaded that is not used."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import assert_type
from uuid import UUID

import pytest

import darkroom
from darkroom.client.jobs import Client

ROOT = Path(__file__).parents[1]
HEAVY = ("temporalio", "fastapi", "sqlite3", "supabase", "httpx", "PIL", "google.genai")


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after one statement."""
    program = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    ["import darkroom", "import darkroom.domain.rounds", "from darkroom import JobStatus, OrderRejected, Receipt"],
)
def test_what_needs_the_domain_alone_loads_no_server_and_no_database(statement: str) -> None:
    assert loaded_by(statement) & {*HEAVY} == set()


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in darkroom.__all__:
        found = getattr(darkroom, name)
        assert found.__doc__, name
        assert name in dir(darkroom)


def test_every_public_name_is_the_one_of_its_module() -> None:
    for name, module in darkroom._HOMES.items():
        assert getattr(darkroom, name) is getattr(importlib.import_module(module), name)
    assert {*darkroom._HOMES, "__version__"} == {*darkroom.__all__}


def test_what_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'darkroom' has no attribute 'Nobody'"):
        darkroom.Nobody  # type: ignore[attr-defined]  # noqa: B018 - that it is refused is what is tested


async def as_type_checkers_see_it(job_id: UUID) -> None:
    """Never run: mypy holds the types that a program meets."""
    async with darkroom.connect() as client:
        assert_type(client, Client)
        checked = assert_type(await client.check({}, client.local_user), darkroom.CheckedOrder)
        assert_type(await client.submit(checked), darkroom.Submitted)
        assert_type(await client.receipt(job_id), darkroom.Receipt)
        assert_type(await client.images(job_id), tuple[darkroom.DeliveredImage, ...])
        async for reading in client.follow(job_id):
            assert_type(reading.progress, darkroom.Progress)
