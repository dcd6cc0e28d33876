"""Ordering again: the document of a job, of the same type, with all that it says and without its user."""

from collections.abc import Sequence
from typing import Any

from darkroom.domain.errors import OrderRejected
from darkroom.domain.jobs import Document
from darkroom.domain.orders import JobType, Limits, Stage
from darkroom.orders import named_type, oldest, opened, read_order, single_batch
from darkroom.orders.document import Reader, snake_keys, with_negative

_OF_ALL_STAGES = (
    "name", "org_id", "production_id", "max_top_ups", "max_credits", "priority", "provider", "providers", "webhook_url"
)  # fmt: skip


def document_again(document: Any, job_type: str | None, stages: Sequence[Stage]) -> dict[str, Any]:
    """The document of a job as it can be ordered again: of the same type, with all that it says, without its user.

    Stages are those that were stored. A document that can no longer be read gives them and what it says of all of them.

    Args:
        document: the job's, as it was sent.
        job_type: the job row's column.
        stages: of the job.
    """
    content = _without_user(document)
    try:
        same = _of_the_same_type(content, job_type, sum(stage.quantity for stage in stages))
    except OrderRejected:
        if job_type != JobType.PIPELINE_STAGE:
            content = _of_all_stages(content)
    else:
        if same is not None:
            return same
    if oldest.is_oldest(content, None):
        content = _of_all_stages(content)
    return _as_stages(content, stages)


def _of_the_same_type(content: Document, job_type: str | None, total_images: int) -> dict[str, Any] | None:
    """The document itself, where it says more than its stages do; None where they say it all."""
    if job_type == JobType.PIPELINE_STAGE or oldest.is_oldest(content, named_type(content, job_type)):
        return None
    read = read_order(content, job_type=job_type, total_images=total_images).order
    if read.job_type is JobType.PIPELINE_STAGE:
        return None
    if read.job_type is JobType.SINGLE_BATCH:
        content = single_batch.explicit(Reader(Limits(), total_images), content)
    return {**content, "job_type": str(read.job_type)}


def _as_stages(content: Document, stages: Sequence[Stage]) -> dict[str, Any]:
    parts = _parts_of(content)
    # Each stage has its own.
    shared = {
        key: value
        for key, value in content.items()
        if key not in {"aspect_ratio", "image_size", "negative_prompt", "format"}
    }
    return {
        **shared,
        "job_type": str(JobType.PIPELINE_STAGE),
        "stages": [
            {
                **_prompt_of(stage, parts.get(stage.stage_index, {}), content.get("negative_prompt")),
                "stage_index": stage.stage_index,
                "quantity": stage.quantity,
                "aspect_ratio": stage.aspect_ratio,
                **_look_of(stage, parts.get(stage.stage_index, {}), content),
                "individual_image_attach_ids": [reference.model_dump() for reference in stage.references],
            }
            for stage in stages
        ],
    }


def _look_of(stage: Stage, part: Document, shared: Document) -> dict[str, str]:
    """Size and format as they were stored, where the document says any."""
    look = {"image_size": stage.image_size, "format": stage.format}
    return {key: str(value) for key, value in look.items() if value is not None and (key in part or key in shared)}


def _prompt_of(stage: Stage, part: Document, shared_negative: Any) -> dict[str, Any]:
    """What a document says of a stage, with its prompt as it was stored; a negative one is not said twice."""
    prompt, negative = part.get("prompt"), part.get("negative_prompt") or shared_negative
    if isinstance(prompt, str) and isinstance(negative, str) and with_negative(prompt, negative) == stage.prompt:
        return {**part, "negative_prompt": negative}
    return {**{key: part[key] for key in part if key != "negative_prompt"}, "prompt": stage.prompt}


def _of_all_stages(content: Document) -> dict[str, Any]:
    return {key: content[key] for key in _OF_ALL_STAGES if key in content}


def _without_user(document: Any) -> dict[str, Any]:
    try:
        document = opened(document)
        content = snake_keys(document) if isinstance(document, dict) else {}
    except OrderRejected:
        return {}
    return {key: value for key, value in content.items() if key != "user_id"}


def _parts_of(content: Document) -> dict[Any, dict[str, Any]]:
    """What a document says of each stage; the merged picture is among its references."""
    listed = content.get("stages")
    parts = [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    return {
        part.get("stage_index", position): {key: part[key] for key in part if key != "merged_image_attach_id"}
        for position, part in enumerate(parts)
    }
