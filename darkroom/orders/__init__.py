"""Order documents become lists of stages: one file a `job_type`."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from darkroom.domain.errors import OrderRejected
from darkroom.domain.jobs import Document
from darkroom.domain.model import Value
from darkroom.domain.orders import JobType, Limits, Order, check_size
from darkroom.orders import oldest, pipeline_stage, simple_general, simple_portrait, single_batch, storybook, template
from darkroom.orders.document import Envelope, Reader, snake_key, snake_keys
from darkroom.orders.json_text import read_json

_PARSERS: Mapping[JobType, Callable[[Reader, Document], Order]] = {
    JobType.PIPELINE_STAGE: pipeline_stage.parse,
    JobType.SIMPLE_GENERAL: simple_general.parse,
    JobType.SIMPLE_PORTRAIT: simple_portrait.parse,
    JobType.SINGLE_BATCH: single_batch.parse,
    JobType.TEMPLATE: template.parse,
    JobType.STORYBOOK: storybook.parse,
}

_DISTINCTIVE_KEYS = {
    "stages": JobType.PIPELINE_STAGE,
    "uploaded_attach_ids": JobType.SIMPLE_GENERAL,
    "merged_images": JobType.SIMPLE_PORTRAIT,
    "pages": JobType.STORYBOOK,
    "base_prompt": JobType.SINGLE_BATCH,
    "rows": JobType.TEMPLATE,
    "variables": JobType.TEMPLATE,
}


class ReadOrder(Value):
    """A document's order, and the keys of it that were not understood."""

    order: Order
    unknown_keys: tuple[str, ...] = ()
    more_unknown_keys: int = 0
    """How many there are beyond those."""


def read_order(
    document: Any, *, job_type: str | None = None, total_images: int | None = None, limits: Limits | None = None
) -> ReadOrder:
    """Turn an order document into stages and check everything that needs nothing but the document.

    Args:
        document: what JSON or YAML gave, or a JSON text with it; keys in camelCase, dashes or snake_case.
        job_type: the job row's column, which wins over the document's key.
        total_images: the job row's column; it counts where the document names no quantity.
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
    reader = Reader(limits, total_images)
    named = named_type(content, job_type)
    if oldest.is_oldest(content, named) and (named or not _misspelt(content)):
        order = oldest.parse(reader, content, named)
    else:
        order = _PARSERS[named or _inferred(content)](reader, content)
    check_size(order, limits)  # before sorting: a rejection names the entry as it was sent
    order = order.model_copy(update={"stages": tuple(sorted(order.stages, key=lambda s: s.stage_index))})
    return ReadOrder(order=order, unknown_keys=tuple(reader.unknown), more_unknown_keys=reader.more_unknown)


def opened(document: Any) -> Any:
    """The document, also when it was sent as a JSON text in a JSON string, as some front ends do.

    Raises:
        OrderRejected: the text is an object's, and cannot be read.
    """
    return read_json(document) if isinstance(document, str) and document.lstrip()[:1] == "{" else document


def as_stored(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it is kept with its job: what depends on the order of its keys is written out.

    Raises:
        OrderRejected: its keys cannot be read.
    """
    content = snake_keys(document)
    is_table = "rows" in content or "variables" in content
    if not is_table or content.get("job_type") not in (None, JobType.TEMPLATE):
        return document
    return template.as_stored(content)


def _check_entries(content: Document, limits: Limits) -> None:
    """Reject what would take long to read, before it is."""
    for key in ("stages", "merged_images", "pages", "combinations", "rows"):
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


def named_type(content: Document, column: str | None) -> JobType | None:
    """The type that the row or else the document names.

    Raises:
        OrderRejected: there is no such type.
    """
    named = column or content.get("job_type")
    if named is None:
        return None
    try:
        return JobType(named)
    except ValueError:
        raise OrderRejected("job_type", f"'{named}' is unknown; use one of {', '.join(JobType)}") from None


def _inferred(content: Document) -> JobType:
    for key, job_type in _DISTINCTIVE_KEYS.items():
        if key in content:
            return job_type
    raise OrderRejected(
        "job_type", f"is missing; set it, or give one of {', '.join(_DISTINCTIVE_KEYS)}{_misspelt(content)}"
    )


def _misspelt(content: Document) -> str:
    for key in list(content)[:100]:
        meant = difflib.get_close_matches(key[:100], _DISTINCTIVE_KEYS, n=1, cutoff=0.7)
        if meant and key not in oldest.OldestDocument.model_fields:
            return f" ('{key[:100]}' is unknown; did you mean {meant[0]}?)"
    return ""


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {list: "a list", str: "a string", bool: "a boolean"}.get(type(value), "a number")
