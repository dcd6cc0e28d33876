"""Committed histories replay: a deployment may change the workflows without breaking running jobs."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.protobuf.message import Message

from tests.histories import largest_payload, payloads
from tests.replay.application import FOLDER, workflow_classes
from tests.replay.lines import Statement, statements, traced
from tests.replay.replaying import (
    RECORDED,
    first_that_does_not_replay,
    history_of,
    name_of,
    replayer,
    unsandboxed_replayer,
)
from tests.replay.scenarios import SCENARIOS
from tests.replay.server import IDENTITY, read

NEVER_REPLAYED = {
    "with workflow.unsafe.sandbox_unrestricted():": "log lines are written once, and never while a history is replayed",
    "_log.info(": "the same",
}
"""Statements, by how they begin, that no replay can run, and why."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_recorded(scenario: str) -> None:
    assert [file for file in RECORDED if file.parent.name == scenario]


@pytest.mark.parametrize("file", RECORDED, ids=name_of)
async def test_a_recorded_history_replays(file: Path) -> None:
    await replayer().replay_workflow(history_of(file))


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


@pytest.mark.parametrize("file", RECORDED, ids=name_of)
def test_no_payload_is_above_16_kib(file: Path) -> None:
    assert largest_payload(history_of(file)) <= 16 * 1024


@pytest.mark.parametrize("file", RECORDED, ids=name_of)
def test_a_history_says_nothing_of_the_machine_that_recorded_it(file: Path) -> None:
    history = history_of(file)
    texts = [payload.data.decode("utf-8", "replace") for event in history.events for payload in payloads(event)]
    for text in (read(file), *texts):
        assert re.findall(r"/(?:home|root|tmp|usr|var|work|Users)/[^\"]*|site-packages", text) == []
    assert {identity for event in history.events for identity in _identities(event)} <= _NEUTRAL


_NEUTRAL = {IDENTITY, "history-service", "internal_temporal_service", "temporal-system"}


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
