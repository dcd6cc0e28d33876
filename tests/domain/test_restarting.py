"""A restart is offered where it can help, and nowhere else."""

from uuid import uuid4

import pytest

from darkroom.api.views import actions_of
from darkroom.domain.progress import JobStatus, Progress, StageProgress
from darkroom.domain.receipts import shorten
from darkroom.domain.restarting import why_no_restart
from darkroom.domain.stage_state import CEILING, REFUSED_FOR_GOOD

MISS = "no picture in the answer"
REFUSED_IN_KOREAN = shorten(f"{'이 사진은 거부되었습니다 ' * 20}{REFUSED_FOR_GOOD}", most_bytes=80)
REFUSED = shorten(f"{'blocked: ' * 60}{REFUSED_FOR_GOOD}", most_bytes=80)


def ended(status: JobStatus, *reasons: str | None) -> Progress:
    """A job with a stage of two pictures each; one is missing where there is a reason."""
    stages = tuple(
        StageProgress(stage_index=n, label=f"stage {n}", quantity=2, completed=2 if why is None else 1, reason=why)
        for n, why in enumerate(reasons)
    )
    done = sum(stage.completed for stage in stages)
    return Progress(
        job_id=uuid4(), status=status, total_images=2 * len(stages), completed_images=done, stages=stages, job_type="x"
    )


@pytest.mark.parametrize(
    ("progress", "says"),
    [
        (ended(JobStatus.COMPLETED, MISS, None), None),
        (ended(JobStatus.CANCELLED, "cancelled"), None),
        (ended(JobStatus.FAILED, "the key is wrong; set it"), None),
        (ended(JobStatus.COMPLETED, CEILING, MISS), None),
        (ended(JobStatus.COMPLETED, REFUSED, MISS), None),
        (ended(JobStatus.COMPLETED, None, None), "delivered all 4 images; nothing is left"),
        (ended(JobStatus.CANCELLED, None), "delivered all 2 images"),
        (ended(JobStatus.COMPLETED, CEILING, None), "has used up its max_credits; order what is missing as a new job"),
        (ended(JobStatus.COMPLETED, REFUSED, REFUSED), "was refused for good; order"),
        (ended(JobStatus.COMPLETED, *[REFUSED_IN_KOREAN] * 100), "was refused for good; order"),
        (ended(JobStatus.COMPLETED, REFUSED, CEILING), "max_credits, and was refused for good"),
    ],
)
def test_a_restart_that_cannot_help_says_why_and_is_not_offered(progress: Progress, says: str | None) -> None:
    why = why_no_restart(progress)
    assert (why is None) == (says is None)
    assert says is None or says in (why or "")
    assert bool(actions_of(progress)) == (says is None)


def test_a_job_that_was_cancelled_before_it_opened_can_be_restarted() -> None:
    progress = Progress(job_id=uuid4(), job_type="x", status=JobStatus.CANCELLED, total_images=0, completed_images=0)
    assert why_no_restart(progress) is None
