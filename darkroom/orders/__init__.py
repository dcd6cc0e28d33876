"""Order documents become lists of stages: one file a `job_type`."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from darkroom.domain.errors import OrderRejected
from darkroom.domain.jobs import Document
from darkroom.domain.model import Value
from darkroom.domain.orders import JobType, Limits, Order, Stage, check_size
from darkroom.orders import pipeline_stage, simple_general, simple_portrait, storybook
from darkroom.orders.document import Envelope, Reader, snake_key, snake_keys
from darkroom.orders.json_text import read_json

_PARSERS: Mapping[JobType, Callable[[Reader, Document], Order]] = {
    JobType.PIPELINE_STAGE: pipeline_stage.parse,
    JobType.SIMPLE_GENERAL: simple_general.parse,
    JobType.SIMPLE_PORTRAIT: simple_portrait.parse,
    JobType.STORYBOOK: storybook.parse,
}

_DISTINCTIVE_KEYS = {
    "stages": JobType.PIPELINE_STAGE,
    "uploaded_attach_ids": JobType.SIMPLE_GENERAL,
    "merged_images": JobType.SIMPLE_PORTRAIT,
    "pages": JobType.STORYBOOK,
}


class ReadOrder(Value):
    """A document's order, and the keys of it that were not understood."""

    order: Order
    unknown_keys: tuple[str, ...] = ()


def read_order(document: Any, *, job_type: str | None = None, limits: Limits | None = None) -> ReadOrder:
    """Turn an order document into stages and check everything that needs nothing but the document.

    Args:
        document: what JSON or YAML gave, or a JSON text with it; keys in camelCase, dashes or snake_case.
        job_type: the job row's column, which wins over the document's key.
        limits: the configured maximum.

    Raises:
        OrderRejected: naming the field and the reason.
    """
    document = opened(document)
    if not isinstance(document, dict):
        raise OrderRejected("document", f"must be an object, not {_kind(document)}")
    content = snake_keys(document)
    limits = limits or Limits()
    _check_entries(content, limits)
    reader = Reader()
    parse = _PARSERS[_job_type(content, job_type)]
    order = parse(reader, content)
    check_size(order, limits)  # before sorting: a rejection names the entry as it was sent
    order = order.model_copy(update={"stages": tuple(sorted(order.stages, key=lambda s: s.stage_index))})
    return ReadOrder(order=order, unknown_keys=tuple(reader.unknown))


def opened(document: Any) -> Any:
    """The document, also when it was sent as a JSON text in a JSON string, as some front ends do.

    Raises:
        OrderRejected: the text is an object's, and cannot be read.
    """
    return read_json(document) if isinstance(document, str) and document.lstrip()[:1] == "{" else document


def _check_entries(content: Document, limits: Limits) -> None:
    """Reject what would take long to read, before it is."""
    for key in ("stages", "merged_images", "pages"):
        entries = content.get(key)
        if isinstance(entries, list) and len(entries) > limits.stages:
            raise OrderRejected("stages", f"{len(entries)} exceed the maximum of {limits.stages}")


def owner_of(document: Any) -> UUID | None:
    """The `userId` that a document names, without reading the rest of it.

    Raises:
        OrderRejected: it is not a UUID.
    """
    document = opened(document)
    if not isinstance(document, dict):
        return None
    spelled = (value for key, value in document.items() if isinstance(key, str) and snake_key(key) == "user_id")
    named = next((value for value in spelled if value is not None), None)
    if named is None:
        return None
    try:
        return UUID(str(named))
    except ValueError:
        raise OrderRejected("user_id", f"'{named}' is not a UUID") from None


def webhook_of(document: Any) -> str | None:
    """The `webhook_url` that a document names, without reading the rest of it.

    Raises:
        OrderRejected: its keys cannot be read.
    """
    document = opened(document)
    named = snake_keys(document).get("webhook_url") if isinstance(document, dict) else None
    return named if isinstance(named, str) else None


def priority_of(document: Any) -> int | None:
    """The `priority` that a document names, without reading the rest of it; None for one that is none."""
    try:
        document = opened(document)
        content = snake_keys(document) if isinstance(document, dict) else {}
        return Envelope.model_validate({"priority": content["priority"]}).priority if content.get("priority") else None
    except (OrderRejected, ValidationError):
        return None


_OF_ALL_STAGES = (
    "org_id", "production_id", "max_top_ups", "max_credits", "priority", "provider", "providers", "webhook_url"
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
    if job_type != JobType.PIPELINE_STAGE:
        try:
            read = read_order({**content, "job_type": job_type} if job_type else content).order
        except OrderRejected:
            content = {key: content[key] for key in _OF_ALL_STAGES if key in content}
        else:
            if read.job_type is not JobType.PIPELINE_STAGE:
                return {**content, "job_type": str(read.job_type)}
    content.pop("aspect_ratio", None)  # each stage has its own
    parts = _parts_of(content)
    return {
        **content,
        "job_type": str(JobType.PIPELINE_STAGE),
        "stages": [
            {
                **parts.get(stage.stage_index, {}),
                "stage_index": stage.stage_index,
                "prompt": stage.prompt,
                "quantity": stage.quantity,
                "aspect_ratio": stage.aspect_ratio,
                "individual_image_attach_ids": [reference.model_dump() for reference in stage.references],
            }
            for stage in stages
        ],
    }


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


def _job_type(content: Document, column: str | None) -> JobType:
    named = column or content.get("job_type")
    if named is None:
        for key, job_type in _DISTINCTIVE_KEYS.items():
            if key in content:
                return job_type
        raise OrderRejected(
            "job_type", f"is missing; set it, or give one of {', '.join(_DISTINCTIVE_KEYS)}{_misspelt(content)}"
        )
    try:
        return JobType(named)
    except ValueError:
        raise OrderRejected("job_type", f"'{named}' is unknown; use one of {', '.join(JobType)}") from None


def _misspelt(content: Document) -> str:
    for key in list(content)[:100]:
        if meant := difflib.get_close_matches(key[:100], _DISTINCTIVE_KEYS, n=1, cutoff=0.7):
            return f" ('{key[:100]}' is unknown; did you mean {meant[0]}?)"
    return ""


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {list: "a list", str: "a string", bool: "a boolean"}.get(type(value), "a number")
