"""Committed histories replay: a deployment may change the workflows without breaking running jobs."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.protobuf.message import Message
from temporalio.client import WorkflowHistory
from temporalio.workflow import NondeterminismError

from tests.replay.application import FOLDER, workflow_classes
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
    unsandboxed_replayer,
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


@each_scenario
async def test_what_a_scenario_recorded_replays(folder: Path) -> None:
    other = await first_that_does_not_replay(replayer(), _histories(folder))
    assert other is None, f"{other.history.workflow_id}: {other.replay_failure}"


async def test_every_statement_of_the_workflows_is_run_by_a_recorded_history() -> None:
    with traced(FOLDER) as seen, ThreadPoolExecutor() as executor:
        replay = unsandboxed_replayer(workflow_classes(), executor)
        assert await first_that_does_not_replay(replay, map(history_of, RECORDED)) is None
    never = [
        statement
        for file in sorted(FOLDER.rglob("*.py"))
        for statement in statements(file)
        if not any(line in seen[str(file)] for line in range(statement.first, statement.last + 1))
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
    for history in _histories(folder):
        texts = [payload.data.decode("utf-8", "replace") for event in history.events for payload in payloads(event)]
        for text in (history.to_json(), *texts):
            assert re.findall(r"/(?:home|root|tmp|usr|var|work|Users)/[^\"]*|site-packages", text) == []
        assert {identity for event in history.events for identity in _identities(event)} <= _NEUTRAL


def _histories(folder: Path) -> Iterator[WorkflowHistory]:
    return (history_of(file) for file in ALL_RECORDED if file.parent == folder)


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
        await replayer().replay_workflow(history_of(file, other))
