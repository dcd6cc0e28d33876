"""Names that other processes see: what one function builds, another one reads."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain import names
from darkroom.domain.images import ImageKey

JOB = UUID("6f1c1e9a-0000-4000-8000-000000000001")
USER = UUID("6f1c1e9a-0000-4000-8000-000000000002")
CALL = UUID("6f1c1e9a-0000-4000-8000-000000000003")


@given(st.uuids())
def test_a_jobs_workflow_id_is_read_back(job_id: UUID) -> None:
    assert names.parse_job_workflow_id(names.job_workflow_id(job_id)) == job_id


@given(st.uuids(), st.integers(0, 99), st.integers(0, 9), st.integers(0, 60))
def test_a_batch_belongs_to_no_job_workflow(job_id: UUID, stage: int, round_: int, batch: int) -> None:
    assert names.parse_job_workflow_id(names.batch_workflow_id(job_id, stage, round_, batch)) is None


@pytest.mark.parametrize(
    "other", ["", "job-", f"job-{JOB}/", f"x-job-{JOB}", "job-" + "-" * 36, f"job-{JOB}\n", "job-" + "g" * 36]
)
def test_another_workflows_id_is_no_job(other: str) -> None:
    assert names.parse_job_workflow_id(other) is None


@given(st.text(max_size=45))
def test_reading_an_id_never_fails(text: str) -> None:
    names.parse_job_workflow_id("job-" + text)


def test_ids_and_places_are_those_of_the_specification() -> None:
    key = ImageKey(job_id=JOB, stage_index=2, ordinal=12)
    assert names.batch_workflow_id(JOB, 2, 1, 3) == f"job-{JOB}/stage-2/round-1/batch-3"
    assert str(key) == f"{JOB}/2/12"
    assert key.final(USER) == f"generated-images/user-{USER}/job-{JOB}/2-12.webp"
    assert key.final(None) == f"generated-images/user-anonymous/job-{JOB}/2-12.webp"
    assert key.staging(None) == f"staging/{JOB}/2-12"
    assert key.staging(CALL) == f"staging/{JOB}/2-12-{CALL}"
    assert key.final(USER, CALL) == f"generated-images/user-{USER}/job-{JOB}/2-12-{CALL.hex[:8]}.webp"
    assert names.activity_label(0, 12) == "stage 1 · image 12"
    queues = {"darkroom", "darkroom-generate", "darkroom-publish", "darkroom-webhooks"}
    assert {str(queue) for queue in names.TaskQueue} == queues
    assert names.webhook_workflow_id(JOB, str(USER)) == f"job-{JOB}/webhook/{USER}"
    assert {str(name) for name in names.SearchAttribute} == {"JobStatus", "JobType", "UserId"}


keys = st.builds(ImageKey, job_id=st.uuids(), stage_index=st.integers(0, 120), ordinal=st.integers(0, 12_000))


@given(keys, keys)
def test_two_images_never_share_a_key_or_a_place(one: ImageKey, other: ImageKey) -> None:
    same = one == other
    assert (str(one) == str(other)) == same
    assert (one.staging(CALL) == other.staging(CALL)) == same
    assert (one.final(None) == other.final(None)) == same


@given(keys, st.none() | st.uuids())
def test_an_image_lies_in_its_jobs_folders(key: ImageKey, user_id: UUID | None) -> None:
    assert key.staging(CALL).startswith(names.staging_prefix(key.job_id))
    assert key.final(user_id).startswith(names.image_prefix(key.job_id, user_id))


@given(st.uuids(), st.uuids())
def test_what_has_begun_has_a_fairness_key_of_its_own_per_user_or_anonymous_job(user_id: UUID, job_id: UUID) -> None:
    for whose, key in ((user_id, f"{user_id}/begun"), (None, f"{job_id}/begun")):
        assert names.fairness_key_of_begun(names.fairness_key(whose, job_id)) == key


@pytest.mark.parametrize("key", [None, "", "k" * 59, "ü" * 30])
def test_a_fairness_key_that_is_none_or_cannot_be_added_to_is_left_as_it_is(key: str | None) -> None:
    assert names.fairness_key_of_begun(key) == key


def test_the_longest_fairness_key_that_can_be_added_to() -> None:
    assert names.fairness_key_of_begun("k" * 58) == f"{'k' * 58}/begun"
