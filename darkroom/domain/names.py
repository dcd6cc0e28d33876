"""Names that other processes see: task queues, workflow ids, search attributes, schedules, storage keys.

Nobody types one of these by hand; the functions here build and read them. The names of workflows, signals and queries
are those of `darkroom.contract`.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from darkroom.domain.stage_labels import number_of_stage


class TaskQueue(StrEnum):
    """The queues; roles of `worker.py` choose among them."""

    ORCHESTRATE = "darkroom"
    GENERATE = "darkroom-generate"
    PUBLISH = "darkroom-publish"
    WEBHOOKS = "darkroom-webhooks"
    """Served with `ORCHESTRATE`, but apart: receivers that hang must not take the places of settlements."""


JOB_QUEUES = (TaskQueue.ORCHESTRATE, TaskQueue.GENERATE, TaskQueue.PUBLISH)
"""What has to be served for pictures to be delivered."""


class SearchAttribute(StrEnum):
    """Search attributes by which jobs are found in Temporal, all of type Keyword."""

    JOB_STATUS = "JobStatus"
    JOB_TYPE = "JobType"
    USER_ID = "UserId"


LOCAL_USER = UUID("00000000-0000-4000-8000-00000000da4c")
"""The one user of the embedded default."""

OPENING_CREDITS = 100_000
"""What the local user begins with (spec §1)."""

WAITING_JOBS_SCHEDULE = "darkroom-start-waiting-jobs"
"""The Temporal Schedule that starts jobs which front ends insert."""

HOUSEKEEPING_SCHEDULE = "darkroom-housekeeping"
"""The Temporal Schedule that repairs jobs which no workflow handles."""

STAGING = "staging/"
GENERATED = "generated-images/"
THUMBNAILS = "thumbnails/"
"""Where bytes wait, as providers gave them, until they are settled."""

ANONYMOUS = "anonymous"

MARKED_BESIDE = ".original"
"""Before the suffix of a picture whose mark is a file beside it."""

LONGEST_FAIRNESS_KEY = 64
"""Bytes; a Temporal server refuses longer ones."""

_JOB_WORKFLOW = re.compile(r"job-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def job_workflow_id(job_id: UUID) -> str:
    """The id of a job's workflow, the same for every run of the job."""
    return f"job-{job_id}"


def parse_job_workflow_id(workflow_id: str) -> UUID | None:
    """The job a workflow id belongs to, or None for another kind of workflow."""
    match = _JOB_WORKFLOW.fullmatch(workflow_id)
    return UUID(match[1]) if match else None


def job_of_workflow(workflow_id: str) -> UUID | None:
    """The job for which a workflow works: its own, or one of its children; None for another kind of workflow."""
    return parse_job_workflow_id(workflow_id.partition("/")[0])


def batch_workflow_id(job_id: UUID, stage_index: int, round_: int, batch: int) -> str:
    """The id of the child workflow that makes one batch of one round of one stage."""
    return f"{job_workflow_id(job_id)}/stage-{stage_index}/round-{round_}/batch-{batch}"


def fairness_key(user_id: UUID | None, job_id: UUID) -> str:
    """Who takes turns in Temporal's queues: the user, or an anonymous job by itself."""
    return str(user_id or job_id)


def fairness_key_of_begun(key: str | None) -> str | None:
    """The fairness key of what follows an order's first step: of its pictures and of its webhook.

    Args:
        key: that of the job's workflow. One that is none, or too long to be added to, is left as it is.
    """
    begun = f"{key}/begun"
    return begun if key and len(begun.encode()) <= LONGEST_FAIRNESS_KEY else key


def webhook_workflow_id(job_id: UUID, run_id: str | None) -> str:
    """The id of the workflow that sends the webhook of one run of a job; without a run, of a job that no run opened."""
    return f"{job_workflow_id(job_id)}/webhook/{run_id or 'unopened'}"


def staging_prefix(job_id: UUID) -> str:
    """Where a job's bytes wait, as the provider gave them, until they are settled."""
    return f"{STAGING}{job_id}/"


def staging_key(job_id: UUID, stage_index: int, ordinal: int, call_id: UUID | None = None) -> str:
    """Where the bytes of one provider call wait; without a call, where version 0.1 kept those of the image."""
    return f"{staging_prefix(job_id)}{stage_index}-{ordinal}{'' if call_id is None else f'-{call_id}'}"


def user_folder(user_id: UUID | None) -> str:
    """The folder of a user's files."""
    return f"user-{user_id or ANONYMOUS}"


def image_prefix(job_id: UUID, user_id: UUID | None) -> str:
    """The folder of a job's delivered pictures."""
    return f"{GENERATED}{user_folder(user_id)}/job-{job_id}/"


def image_key(  # noqa: PLR0917 - the parts of the name, in their order
    job_id: UUID,
    user_id: UUID | None,
    stage_index: int,
    ordinal: int,
    call_id: UUID | None = None,
    suffix: str = ".webp",
) -> str:
    """The final place of one picture (spec §3).

    It names the call, so that a worker that comes back late never overwrites the picture of another call.
    """
    call = "" if call_id is None else f"-{call_id.hex[:8]}"
    return f"{image_prefix(job_id, user_id)}{stage_index}-{ordinal}{call}{suffix}"


def sidecar_key(path: str) -> str | None:
    """Where the mark of a delivered picture lies; None for one that has its mark, if any, in its own file.

    The name says it (`0-12-5f0c9a1e.original.png`), so that nobody has to ask the storage for each picture.
    """
    stem, _, _ = path.rpartition(".")
    return f"{stem}.xmp" if stem.endswith(MARKED_BESIDE) else None


def thumbnail_prefix(job_id: UUID, user_id: UUID | None) -> str:
    """The folder of the thumbnails of a job's pictures; none of them is a picture that somebody paid for."""
    return f"{THUMBNAILS}{user_folder(user_id)}/job-{job_id}/"


def thumbnail_key(path: str) -> str | None:
    """Where the thumbnail of a delivered picture lies, if there is one; None for what no job of ours delivered."""
    if not path.startswith(GENERATED):
        return None
    return f"{THUMBNAILS}{path.removeprefix(GENERATED).rpartition('.')[0]}.webp"


def download_name(stage_index: int, ordinal: int, suffix: str = ".webp") -> str:
    """What a picture, or the mark beside it, is called where users take it home."""
    return f"stage-{stage_index}-{ordinal}{suffix}"


def reference_key(user_id: UUID | None, sha256: str, suffix: str) -> str:
    """The place of an uploaded reference: named by its content, so that storing it twice is one file."""
    return f"uploads/{user_folder(user_id)}/{sha256[:32]}{suffix}"


def settlement_key(job_id: UUID, stage_index: int, ordinal: int) -> str:
    """The idempotency key of the one journal row that an image may have."""
    return f"{job_id}/{stage_index}/{ordinal}"


def activity_label(stage_index: int, ordinal: int) -> str:
    """What the Temporal Web UI shows beside an activity."""
    return f"{number_of_stage(stage_index)} · image {ordinal}"


def group_label(stage_index: int, ordinals: Sequence[int]) -> str:
    """What the Temporal Web UI shows beside an activity for several images."""
    first, last = min(ordinals), max(ordinals)
    if last - first + 1 == len(ordinals):
        return f"{number_of_stage(stage_index)} · images {first}–{last}"
    return f"{number_of_stage(stage_index)} · {len(ordinals)} images of {first}–{last}"
