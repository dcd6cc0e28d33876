"""An outage is told in one line, and not in one for each of a thousand pictures."""

import pytest
from structlog.testing import capture_logs

from activities.errors import to_application_error
from activities.outages import SAY_AGAIN_AFTER, OutageLines
from darkroom.domain.errors import JobNotFound, ProviderUnavailable, RecordsUnavailable, StorageUnavailable


def test_a_thousand_failures_are_one_line_until_half_a_minute_has_gone() -> None:
    now = 0.0
    lines = OutageLines(clock=lambda: now)
    with capture_logs() as logged:
        for _ in range(1000):
            lines.note(to_application_error(RecordsUnavailable("Bad Gateway (502)"), 1, None))
        now = SAY_AGAIN_AFTER
        lines.note(to_application_error(RecordsUnavailable("still away"), 5, None))
    assert logged == [
        {"event": "records unavailable", "log_level": "warning", "reason": "Bad Gateway (502)", "failed": 1},
        {"event": "records unavailable", "log_level": "warning", "reason": "still away", "failed": 1000},
    ]


def test_records_and_storage_are_told_apart() -> None:
    lines = OutageLines()
    with capture_logs() as logged:
        lines.note(to_application_error(RecordsUnavailable("no answer"), 1, None))
        lines.note(to_application_error(StorageUnavailable("no space left"), 1, None))
    assert [line["event"] for line in logged] == ["records unavailable", "storage unavailable"]


@pytest.mark.parametrize("error", [ProviderUnavailable("503 from the provider"), JobNotFound("no such job")])
def test_what_is_no_outage_of_ours_is_not_told_here(error: ProviderUnavailable | JobNotFound) -> None:
    with capture_logs() as logged:
        OutageLines().note(to_application_error(error, 1, None))
    assert logged == []
