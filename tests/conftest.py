"""Parts that tests of several folders share."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import hypothesis
import pytest
import uvloop

from darkroom.settings import Settings
from tests.support.supabase.catalogs import BEFORE
from tests.support.supabase.local import LocalSupabase, running_supabase
from tests.support.supabase.project import Project, run_file, running_project

# A time limit for each example, or for drawing one, fails on a machine that is busy with something else.
hypothesis.settings.register_profile("darkroom", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("darkroom")

# Whoever runs the tests may have a real project in the environment; no test is to reach it.
for _name in [name.upper() for name in Settings.model_fields] + [name for name in os.environ if "TEMPORAL_" in name]:
    os.environ.pop(_name, None)


LONGEST_FIRST = (
    *("tests/attacks/", "tests/workflows/test_histories.py", "tests/page/", "tests/end_to_end/", "tests/faults/"),
    "tests/replay/",
    *("tests/api/", "tests/workflows/", "tests/supabase/", "tests/examples/", "tests/cli/"),
)
"""Files are handed out in this order, then in that of their names: nobody waits at the end for one that is long."""


EMBEDDED = (
    "tests/api/test_mounting.py",
    "tests/test_public_library.py",
    "tests/test_gathering.py",
    "tests/faults/test_file_groups.py",
)
"""Tests of what others run in processes of theirs, with the event loop of asyncio."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop of our own processes; what is embedded runs on asyncio's as well."""
    if item.nodeid.startswith(EMBEDDED):
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""

    def rank(item: pytest.Item) -> int:
        ranks = (rank for rank, start in enumerate(LONGEST_FIRST) if item.nodeid.startswith(start))
        return next(ranks, len(LONGEST_FIRST))

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables that tests recorded."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "table":
                terminalreporter.section(report.nodeid.partition("::")[2])
                terminalreporter.write_line(str(value))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One migrated Supabase project a test process: PostgreSQL, PostgREST and a gateway."""
    with running_project(tmp_path_factory.mktemp("supabase")) as project:
        project.migrate()
        yield project


def _adopted(folder: Path, before: str) -> Iterator[Project]:
    with running_project(folder) as project:
        with project.connect() as db:
            for file in BEFORE[before]:
                run_file(db, file)
        project.migrate()
        yield project


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with the tables of a deployment that ran before Darkroom, migrated."""
    yield from _adopted(tmp_path_factory.mktemp("described"), "described")


@pytest.fixture(scope="session")
def variant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The same, with what differs between deployments."""
    yield from _adopted(tmp_path_factory.mktemp("variant"), "variant")


@pytest.fixture
def project(migrated: Project) -> Project:
    """The project with empty tables."""
    migrated.reset()
    return migrated


@pytest.fixture(scope="session")
def shared_supabase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSupabase]:
    """One more project a test process, with a Storage server: for whole jobs, and for tests that break parts of it."""
    with running_supabase(tmp_path_factory.mktemp("supabase-jobs")) as supabase:
        yield supabase


@pytest.fixture
def supabase(shared_supabase: LocalSupabase) -> LocalSupabase:
    """That project whole and empty, whatever the test before did to it."""
    shared_supabase.make_whole()
    return shared_supabase
