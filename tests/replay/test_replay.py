"""Committed histories replay: a deployment may change the workflows without breaking running jobs."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.replay.record import HISTORIES, SCENARIOS
from tests.support.payloads import largest_payload
from workflows.pipeline_job import PipelineJobWorkflow
from workflows.stage_batch import StageBatchWorkflow
from workflows.webhook import WebhookWorkflow

RECORDED = sorted(HISTORIES.glob("*/*.json"))


def _history(file: Path, text: str | None = None) -> WorkflowHistory:
    return WorkflowHistory.from_json(file.stem, text or file.read_text("utf-8"))


def _replayer() -> Replayer:
    workflows = [PipelineJobWorkflow, StageBatchWorkflow, WebhookWorkflow]
    return Replayer(workflows=workflows, data_converter=pydantic_data_converter)


def test_every_scenario_is_recorded_with_its_children() -> None:
    for scenario in SCENARIOS:
        names = {file.stem for file in RECORDED if file.parent.name == scenario.__name__}
        assert "job" in names
        assert len(names) > 1


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: f"{file.parent.name}-{file.stem}")
async def test_a_recorded_history_replays(file: Path) -> None:
    await _replayer().replay_workflow(_history(file))


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_no_payload_is_above_16_kib(file: Path) -> None:
    assert largest_payload(_history(file)) <= 16 * 1024


async def test_a_history_of_other_code_does_not_replay() -> None:
    file = next(file for file in RECORDED if file.stem != "job")
    other = file.read_text("utf-8").replace('"name": "upload"', '"name": "publish"')
    with pytest.raises(Exception, match=r"[Nn]ondeterminism"):
        await _replayer().replay_workflow(_history(file, other))
