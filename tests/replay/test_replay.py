"""Committed histories replay: a deployment may change the workflows without breaking running jobs."""

import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.protobuf.message import Message
from temporalio.client import WorkflowHistory
from temporalio.worker import WorkflowReplayResult
from temporalio.workflow import NondeterminismError

from tests.replay.application import FOLDER
from tests.replay.lines import Statement, statements, traced
from tests.replay.record import HISTORIES
from tests.replay.replaying import (
    ALL_RECORDED,
    OTHER_PYTHON,
    RECORDED,
    first_that_does_not_replay,
    history_of,
    name_of,
    replayer,
)
from tests.replay.scenarios import SCENARIOS
from tests.replay.server import IDENTITY, read
from tests.support.payloads import largest_payload, payloads

NEVER_REPLAYED = {
    "with workflow.unsafe.sandbox_unrestricted():": "log lines are written once, and never while a history is replayed",
    "_log.log(": "the same",
    "self._state.cancelled = self._state.stopped = True": (
        "Temporal ends no batch as cancelled: since SDK 1.35 one that is cancelled before its first task begins all "
        "the same, and it catches every cancel and says so in its result"
    ),
    "return _Binding": "workers are given it before any history is replayed",
}
"""Statements, by how they begin, that no replay can run, and why."""


FOLDERS = sorted({file.parent for file in RECORDED})
each_scenario = pytest.mark.parametrize("folder", FOLDERS, ids=name_of)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_recorded(scenario: str) -> None:
    assert [folder for folder in FOLDERS if folder.name == scenario]


class Replays:
    """What each folder's replay came to, and the lines of the workflows that it ran. Each is replayed once."""

    def __init__(self) -> None:
        self._results: dict[Path, WorkflowReplayResult | None] = {}
        self.lines: defaultdict[str, set[int]] = defaultdict(set)

    async def result(self, folder: Path) -> WorkflowReplayResult | None:
        """The first of its histories that does not replay."""
        if folder not in self._results:
            with traced(FOLDER) as seen, ThreadPoolExecutor() as executor:
                self._results[folder] = await first_that_does_not_replay(replayer(executor), _histories(folder))
            for file, lines in seen.items():
                self.lines[file] |= lines
        return self._results[folder]


@pytest.fixture(scope="module")
def replays() -> Replays:
    return Replays()


@each_scenario
async def test_what_a_scenario_recorded_replays(replays: Replays, folder: Path) -> None:
    other = await replays.result(folder)
    assert other is None, f"{other.history.workflow_id}: {other.replay_failure}"


async def test_every_statement_of_the_workflows_is_run_by_a_recorded_history(replays: Replays) -> None:
    assert [folder for folder in FOLDERS if await replays.result(folder) is not None] == []
    never = [
        statement
        for file in sorted(FOLDER.rglob("*.py"))
        for statement in statements(file)
        if replays.lines[str(file)].isdisjoint(range(statement.first, statement.last + 1))
    ]
    assert [str(statement) for statement in never if not _excepted(statement)] == []
    for beginning in NEVER_REPLAYED:
        assert [one for one in never if one.text.startswith(beginning)], f"needs no exception: {beginning}"


def _excepted(statement: Statement) -> bool:
    return any(statement.text.startswith(beginning) for beginning in NEVER_REPLAYED)


@pytest.mark.parametrize("scenario", sorted(OTHER_PYTHON))
async def test_what_only_another_python_replays_is_known(scenario: str) -> None:
    result = await first_that_does_not_replay(replayer(), _histories(HISTORIES / scenario))
    assert result is not None, "it replays: take it out of the list"
    assert isinstance(result.replay_failure, NondeterminismError)


@each_scenario
def test_no_payload_is_above_16_kib(folder: Path) -> None:
    assert max(largest_payload(history) for history in _histories(folder)) <= 16 * 1024


@each_scenario
def test_histories_say_nothing_of_the_machine_that_recorded_them(folder: Path) -> None:
    for file, history in zip(_files(folder), _histories(folder), strict=True):
        texts = [payload.data.decode("utf-8", "replace") for event in history.events for payload in payloads(event)]
        for text in (read(file), *texts):
            assert re.findall(r"/(?:home|root|tmp|usr|var|work|Users)/[^\"]*|site-packages", text) == []
        assert {identity for event in history.events for identity in _identities(event)} <= _NEUTRAL


def _files(folder: Path) -> list[Path]:
    return [file for file in ALL_RECORDED if file.parent == folder]


def _histories(folder: Path) -> Iterator[WorkflowHistory]:
    return map(history_of, _files(folder))


_NEUTRAL = {IDENTITY, "history-service", "history-resetter"}


def _identities(message: Message) -> list[str]:
    found = []
    for field, value in message.ListFields():
        if field.name == "identity":
            found.append(value)
        elif isinstance(value, Message):
            found += _identities(value)
    return found


async def test_a_history_of_other_code_does_not_replay() -> None:
    file = next(file for file in RECORDED if name_of(file).endswith("happy/job_stage-0_round-0_batch-0"))
    other = read(file).replace('"name": "upload"', '"name": "publish"')
    with pytest.raises(Exception, match=r"[Nn]ondeterminism"):
        await replayer().replay_workflow(WorkflowHistory.from_json(name_of(file), other))
