"""Recorded histories find what would break running jobs: each change of the order of commands stops one replaying.

Whoever changes the code on purpose puts the change behind `workflow.patched`, and then all of them replay.
"""

import importlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import pytest
from temporalio.client import WorkflowHistory
from temporalio.workflow import NondeterminismError

from tests.replay import application
from tests.replay.mutants import MUTANTS, Mutant
from tests.replay.replaying import RECORDED, first_that_does_not_replay, history_of, unsandboxed_replayer

pytestmark = pytest.mark.slow

PACKAGE = application.FOLDER.name


@pytest.fixture(scope="module")
def histories() -> list[WorkflowHistory]:
    # The job's own histories first: most changes are found there.
    return [history_of(file) for file in sorted(RECORDED, key=lambda file: (len(file.name), file))]


@contextmanager
def in_place_of_the_workflows(folder: Path) -> Iterator[list[type]]:
    """Import the package from another folder, for as long as it is needed."""

    def ours() -> list[str]:
        return [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]

    kept = {name: sys.modules.pop(name) for name in ours()}
    sys.path.insert(0, str(folder.parent))
    importlib.invalidate_caches()
    try:
        yield application.workflow_classes(folder)
    finally:
        sys.path.remove(str(folder.parent))
        for name in ours():
            del sys.modules[name]
        sys.modules.update(kept)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what.replace(" ", "-"))
async def test_a_change_of_the_order_of_commands_is_found(
    mutant: Mutant, histories: list[WorkflowHistory], tmp_path: Path
) -> None:
    folder = copytree(application.FOLDER, tmp_path / PACKAGE, ignore=lambda *_: ["__pycache__"])
    file = folder / mutant.file
    code = file.read_text("utf-8")
    assert code.count(mutant.old) == 1, f"{mutant.file} holds the text {code.count(mutant.old)} times:\n{mutant.old}"
    file.write_text(code.replace(mutant.old, mutant.new), "utf-8")
    with in_place_of_the_workflows(folder) as classes, ThreadPoolExecutor() as executor:
        replay = unsandboxed_replayer(classes, executor)
        result = await first_that_does_not_replay(replay, histories)
    assert result is not None, "every history replays"
    assert isinstance(result.replay_failure, NondeterminismError)
