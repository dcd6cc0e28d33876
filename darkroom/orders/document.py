"""Reading an order document: one spelling of keys, one line for what is wrong."""

import math
import re
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from darkroom.domain.errors import OrderRejected
from darkroom.domain.formats import ImageFormat, ImageSize
from darkroom.domain.job_names import GivenName
from darkroom.domain.orders import DEFAULT_ASPECT_RATIO, DEFAULT_PRIORITY, JobType, Limits, Order, Reference, Stage
from darkroom.domain.visible import is_visible
from darkroom.domain.wording import reason_of

_SURROGATE = re.compile("[\ud800-\udfff]")
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_DEEPEST = 20
_MOST_UNKNOWN = 100
"""Keys that are named in warnings; a document may hold a million of them."""
_LONGEST_UNKNOWN = 100

MEANINGLESS = frozenset(("category", "global_context", "camera_angle", "shot_type", "is_pre_edited", "total_images"))
"""What existing front ends send beside the order: ignored without a warning."""

M = TypeVar("M", bound="Part")


def snake_keys(value: Any, depth: int = 0, *, rename: bool = True) -> Any:
    """The same document with every key in snake_case: `aspect-ratio` and `aspectRatio` are one field.

    A field that is null is left out: it is absent. What has no meaning here keeps its own names within.

    Raises:
        OrderRejected: two spellings of one field disagree, a key is not a string, or it is nested too deeply.
    """
    if depth > _DEEPEST:
        raise OrderRejected("document", f"is nested deeper than {_DEEPEST} levels")
    if isinstance(value, list):
        return [snake_keys(item, depth + 1, rename=rename) for item in value]
    if not isinstance(value, dict):
        return _keepable(value)
    renamed: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise OrderRejected("document", f"has the key {key!r}, which is not a string")
        if item is None:
            continue
        name = snake_key(key) if rename else key
        content = snake_keys(item, depth + 1, rename=rename and name not in MEANINGLESS)
        if name in renamed and renamed[name] != content:
            raise OrderRejected(name, "is given twice, in two spellings with different values")
        renamed[name] = content
    return renamed


def snake_key(key: str) -> str:
    """A key in snake_case, however it is spelled."""
    return _HUMP.sub(r"_\1", key).replace("-", "_").lower()


def _keepable(value: Any) -> Any:
    """The value, if JSON and databases can store it; Python's parsers accept more."""
    if isinstance(value, float) and not math.isfinite(value):
        raise OrderRejected("document", f"contains the number {value}, which JSON does not allow")
    if isinstance(value, str) and _SURROGATE.search(value):
        raise OrderRejected("document", "contains an unpaired surrogate; write the character out in UTF-8")
    return value


def _whole_number(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("must be a whole number")
    return value


WholeNumber = Annotated[int, BeforeValidator(_whole_number), Field(ge=-(2**31), lt=2**31)]
AttachId = Annotated[int, BeforeValidator(_whole_number), Field(ge=1, lt=2**31)]


class Part(BaseModel):
    """A part of an order document; keys it does not know are kept aside for a warning."""

    model_config = ConfigDict(extra="allow", frozen=True, str_max_length=2_000_000)

    def unknown_keys(self) -> Iterable[str]:
        """The keys that nobody understands, and that a warning names."""
        return (key for key in self.model_extra or {} if key not in MEANINGLESS)


class AttachRef(Part):
    """One uploaded picture, and what it shows."""

    attach_id: AttachId
    type: str | None = Field(default=None, max_length=100)

    def reference(self) -> Reference:
        """This reference as stages hold it."""
        return Reference(attach_id=self.attach_id, type=self.type)


def _format(value: Any) -> Any:
    word = value.strip().lower() if isinstance(value, str) else value
    return "jpeg" if word == "jpg" else word


def _size(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


class Look(Part):
    """How large pictures are, and how they are delivered: of a whole document, or of a part of it."""

    image_size: Annotated[ImageSize, BeforeValidator(_size)] | None = None
    format: Annotated[ImageFormat, BeforeValidator(_format)] | None = None


class Envelope(Look):
    """The fields that every kind of order has."""

    job_type: str | None = None
    name: GivenName = None
    user_id: UUID | None = None
    org_id: UUID | None = None
    production_id: UUID | None = None
    aspect_ratio: str = DEFAULT_ASPECT_RATIO
    max_top_ups: Annotated[int, BeforeValidator(_whole_number), Field(ge=0, le=100)] | None = None
    max_credits: Annotated[int, BeforeValidator(_whole_number), Field(ge=0, lt=2**31)] | None = None
    priority: Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=5)] = DEFAULT_PRIORITY
    provider: str | None = None
    providers: tuple[str, ...] | None = None
    webhook_url: str | None = None
    negative_prompt: str | None = None

    def size_of(self, part: Look) -> ImageSize:
        """The size of a part: its own, else that of the document."""
        return part.image_size or self.image_size or ImageSize.K1

    def format_of(self, part: Look) -> ImageFormat | None:
        """The format of a part: its own, else that of the document."""
        return part.format or self.format

    def order(self, job_type: JobType, stages: list[Stage]) -> Order:
        """The order these fields and stages make."""
        return Order(
            job_type=job_type,
            name=self.name,
            user_id=self.user_id,
            org_id=self.org_id,
            production_id=self.production_id,
            stages=tuple(stages),
            max_top_ups=self.max_top_ups,
            max_credits=self.max_credits,
            priority=self.priority,
            providers=self._all_providers(),
            webhook_url=self.webhook_url,
        )

    def _all_providers(self) -> tuple[str, ...]:
        named = self.providers if self.providers is not None else (self.provider,) if self.provider else ()
        if self.providers is not None and not named:
            raise OrderRejected("providers", "is empty; name at least one, or leave it out")
        if self.provider is not None and self.provider not in named:
            raise OrderRejected("provider", f"'{self.provider}' is not among the providers {', '.join(named)}")
        return tuple(dict.fromkeys(named))


def with_negative(prompt: str, negative: str | None) -> str:
    """The prompt, with what the picture must not show at its end: no provider of ours takes it separately.

    A prompt that says nothing stays as it is, and is rejected for that.
    """
    if negative is None or not is_visible(negative) or not is_visible(prompt):
        return prompt
    return f"{prompt}\n\nAvoid: {negative.strip()}"


class Reader:
    """Reads parts of a document and remembers unknown keys.

    Args:
        limits: the configured maximum.
        total_images: the job row's column; it counts where a document names no quantity.
    """

    def __init__(self, limits: Limits, total_images: int | None = None) -> None:
        self.limits = limits
        self.total_images = total_images or None
        self.unknown: list[str] = []
        self.more_unknown = 0

    def read(self, model: type[M], content: Any) -> M:
        """The content as `model`.

        Raises:
            OrderRejected: the first thing that is wrong, by its field.
        """
        try:
            part = model.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise OrderRejected(_path(first["loc"]), _reason(first)) from None
        self._collect(part, "")
        return part

    def ignore(self, keys: Iterable[str]) -> None:
        """Remember keys that are not understood, as far as they can be named in warnings; the others are counted."""
        remaining = iter(keys)
        self.unknown += islice(remaining, max(0, _MOST_UNKNOWN - len(self.unknown)))
        self.more_unknown += sum(1 for _ in remaining)

    def _collect(self, part: Part, where: str) -> None:
        self.ignore(f"{where}{key[:_LONGEST_UNKNOWN]}" for key in part.unknown_keys())
        for name in type(part).model_fields:
            value = getattr(part, name)
            if isinstance(value, Part):
                self._collect(value, f"{where}{name}.")
            elif isinstance(value, tuple):
                for position, item in enumerate(value):
                    if isinstance(item, Part):
                        self._collect(item, f"{where}{name}[{position}].")


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path or "document"


def _reason(error: Any) -> str:
    message = reason_of(error)
    if error["type"] == "missing":
        return message
    given = repr(error["input"])
    return f"{message} (got {given if len(given) <= 40 else given[:39] + '…'})"
