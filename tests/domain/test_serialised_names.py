"""Fields that were renamed keep their old names in histories and for older workers, and are read under both."""

import json

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter

from darkroom.domain.batches import BatchReport, BatchResult
from darkroom.domain.jobs import OpenedRun

VALUES = [OpenedRun(superseded="ended"), BatchResult(report=BatchReport(stage_index=0), superseded="ended")]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
async def test_what_was_turned_away_is_written_as_ever_and_read_under_both_names(
    value: OpenedRun | BatchResult,
) -> None:
    [payload] = await pydantic_data_converter.encode([value])
    written = json.loads(payload.data)
    assert written["turned_away"] == "ended"
    assert "superseded" not in written
    assert await pydantic_data_converter.decode([payload], [type(value)]) == [value]
    written["superseded"] = written.pop("turned_away")
    assert type(value).model_validate(written) == value
