"""What the verdict of a proof counts."""

from typing import Any
from uuid import UUID

import pytest

from darkroom.proof.checks import without_reason
from darkroom.proof.pace import LONGEST, QUICK, seconds_of_a_call
from darkroom.proof.recovery import Outage, recovered
from darkroom.proof.site import Ordered

JOB = UUID(int=1)


def _call(call_id: str, ordinal: int, second: int, outcome: str | None = None) -> dict[str, Any]:
    place = {"job_id": str(JOB), "run_id": "run", "stage_index": 0, "ordinal": ordinal}
    return {**place, "call_id": call_id, "outcome": outcome, "started_at": f"1970-01-01T00:00:{second:02}.000000+00:00"}


def test_a_recovery_lasts_from_the_restart_until_the_last_lost_image_has_a_new_call() -> None:
    calls = [_call("a", 1, 1), _call("b", 2, 1), _call("c", 1, 12), _call("d", 2, 13), _call("e", 3, 40)]
    assert recovered(Outage(10.0, frozenset("ab")), calls) == 3.0


def test_what_its_worker_finished_or_another_took_over_took_no_time() -> None:
    finished = [_call("a", 1, 1, "generated"), _call("b", 1, 50)]
    assert recovered(Outage(10.0, frozenset("a")), finished) is None
    assert recovered(Outage(10.0, frozenset("a")), [_call("a", 1, 1), _call("b", 1, 9)]) == 0.0


def test_an_image_that_needed_no_new_call_is_no_recovery() -> None:
    assert recovered(Outage(10.0, frozenset("a")), [_call("a", 1, 1), _call("b", 2, 30)]) is None


def _dump(status: str, delivered: int, reason: str | None = None) -> dict[str, list[dict[str, Any]]]:
    job = {"job_id": str(JOB), "job_status": status, "error_message": None, "completed_images": delivered}
    stages = [{"job_id": str(JOB), "stage_index": 0, "quantity": 9, "reason": reason}]
    picture = {"job_id": str(JOB), "stage_index": 0, "delivered_at": "now"}
    return {"quel_production_jobs": [job], "quel_job_stages": stages, "quel_attach": [picture] * delivered}


@pytest.mark.parametrize(
    ("dump", "missing"),
    [
        (_dump("completed", 9), 0),
        (_dump("completed", 4), 5),
        (_dump("completed", 4, "the provider refuses the prompt"), 0),
        (_dump("cancelled", 4), 0),
        (_dump("processing", 4), 5),
    ],
)
def test_pictures_are_counted_that_are_missing_without_a_reason(dump: Any, missing: int) -> None:
    assert sum(without_reason(dump, Ordered(JOB, None, 9)).values()) == missing


def test_calls_take_as_long_as_the_faults_that_are_to_come_need() -> None:
    assert seconds_of_a_call(0, 100, 8) == QUICK
    few, many = seconds_of_a_call(3, 8, 8), seconds_of_a_call(3, 180, 8)
    assert many < few
    assert few[1] == LONGEST * 1.25 < 6
