"""Beside another worker on the same tables, only the rows that are ours are started."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from darkroom.domain.jobs import JobRow
from darkroom.domain.orders import JobType
from darkroom.domain.pick_up import PickUp
from darkroom.domain.progress import JobStatus

MOVED = datetime(2026, 11, 27, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def row(job_type: str | None = "pipeline_stage", created: datetime = MOVED, status: str = "pending") -> JobRow:
    return JobRow(
        job_id=uuid4(),
        job_type=job_type,
        status=JobStatus(status),
        user_id=None,
        production_id=None,
        paused=False,
        pause_reason=None,
        cancel_requested=False,
        total_images=1,
        completed_images=0,
        failed_images=0,
        generated_attach_ids=(),
        error_message=None,
        retry_count=0,
        unit_price=None,
        priority=3,
        created_at=created,
        started_at=None,
        completed_at=None,
        updated_at=created,
    )


def test_without_settings_every_pending_row_is_started() -> None:
    assert PickUp().takes(row(None))


@pytest.mark.parametrize(("created", "taken"), [(MOVED - SECOND, False), (MOVED, False), (MOVED + SECOND, True)])
def test_rows_of_before_the_move_are_left_to_the_old_worker(created: datetime, taken: bool) -> None:
    assert PickUp(since=MOVED).takes(row(created=created)) is taken


@pytest.mark.parametrize(("job_type", "taken"), [("pipeline_stage", True), ("simple_general", False), (None, False)])
def test_types_that_have_not_moved_are_left_to_the_old_worker(job_type: str | None, taken: bool) -> None:
    assert PickUp(types=(JobType.PIPELINE_STAGE,)).takes(row(job_type)) is taken


def test_a_job_that_darkroom_has_opened_goes_on() -> None:
    nothing = PickUp(pending=False, since=MOVED, types=(JobType.STORYBOOK,))
    assert nothing.takes(row(created=MOVED - SECOND, status="processing"))
    assert not nothing.takes(row("storybook", MOVED + SECOND))
