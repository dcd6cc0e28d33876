"""A normalised order: every kind of job is a list of stages."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from darkroom.domain.errors import OrderRejected
from darkroom.domain.formats import ImageFormat, ImageSize
from darkroom.domain.job_names import GivenName
from darkroom.domain.model import Value
from darkroom.domain.stage_labels import StageLabel
from darkroom.domain.visible import is_visible

DEFAULT_ASPECT_RATIO = "16:9"
DEFAULT_PRIORITY = 3


class JobType(StrEnum):
    """The kinds of order document that can be turned into stages."""

    PIPELINE_STAGE = "pipeline_stage"
    SIMPLE_GENERAL = "simple_general"
    SIMPLE_PORTRAIT = "simple_portrait"
    SINGLE_BATCH = "single_batch"
    TEMPLATE = "template"
    STORYBOOK = "storybook"


class Reference(Value):
    """One picture that a stage is drawn after."""

    attach_id: int
    type: str | None = None


class Stage(Value):
    """One prompt, its references, an aspect ratio and how many pictures of it."""

    stage_index: int
    label: StageLabel
    prompt: str
    quantity: int
    aspect_ratio: str = DEFAULT_ASPECT_RATIO
    references: tuple[Reference, ...] = ()
    image_size: ImageSize = ImageSize.K1
    format: ImageFormat | None = None
    """Of its files; None in an order that leaves it to the settings, and in jobs of before there was a choice."""


class Order(Value):
    """What a document asks for, in the one form the rest of Darkroom knows."""

    job_type: JobType
    name: GivenName = None
    """What its job is called; None for one that is called by its first prompt."""
    user_id: UUID | None
    org_id: UUID | None = None
    """The organization that pays instead of the user."""
    production_id: UUID | None = None
    book_id: UUID | None = None
    """The book whose pages these are."""
    stages: tuple[Stage, ...]
    max_top_ups: int | None = Field(default=None, ge=0)
    max_credits: int | None = Field(default=None, ge=0)
    priority: int = DEFAULT_PRIORITY
    providers: tuple[str, ...] = ()
    """The providers, first choice first; empty to use the configured ones."""
    webhook_url: str | None = None
    """Where the job's end is sent."""

    def with_format(self, default: ImageFormat) -> "Order":
        """The order with this format wherever it names none."""
        stages = (
            stage if stage.format is not None else stage.model_copy(update={"format": default}) for stage in self.stages
        )
        return self.model_copy(update={"stages": tuple(stages)})

    @property
    def total_images(self) -> int:
        """Pictures ordered, over all stages."""
        return sum(stage.quantity for stage in self.stages)

    @property
    def reference_ids(self) -> frozenset[int]:
        """The attachments that any stage is drawn after."""
        return frozenset(ref.attach_id for stage in self.stages for ref in stage.references)


class Limits(Value):
    """How large an order may be (spec §1)."""

    stages: int = 1_000
    images_per_stage: int = 10_000
    images_per_job: int = 30_000
    prompt_characters: int = 20_000


class Capabilities(Value):
    """What a provider can draw."""

    name: str
    aspect_ratios: tuple[str, ...]
    max_references: int
    image_sizes: tuple[ImageSize, ...] = (ImageSize.K1,)


class ReferenceOwner(Value):
    """Who a stored attachment belongs to; rows from before Darkroom have no owner."""

    attach_id: int
    user_id: UUID | None
    name: str | None = None
    """Of the file that was uploaded."""


def check_size(order: Order, limits: Limits) -> None:
    """Reject an order that is larger than the configured maximum.

    Raises:
        OrderRejected: naming the field and the limit.
    """
    if not order.stages:
        raise OrderRejected("stages", "is empty; give at least one stage")
    if len(order.stages) > limits.stages:
        raise OrderRejected("stages", f"{len(order.stages)} exceed the maximum of {limits.stages}")
    indexes: set[int] = set()
    for position, stage in enumerate(order.stages):
        where = f"stages[{position}]"
        if stage.stage_index in indexes:
            raise OrderRejected(f"{where}.stage_index", f"{stage.stage_index} is used twice")
        indexes.add(stage.stage_index)
        if not 1 <= stage.quantity <= limits.images_per_stage:
            raise OrderRejected(f"{where}.quantity", f"{stage.quantity} is not between 1 and {limits.images_per_stage}")
        if not is_visible(stage.prompt):
            reason = "is without a visible character" if stage.prompt.strip() else "is empty"
            raise OrderRejected(f"{where}.prompt", f"{reason}; describe what to draw")
        if len(stage.prompt) > limits.prompt_characters:
            raise OrderRejected(
                f"{where}.prompt",
                f"{len(stage.prompt)} characters exceed the maximum of {limits.prompt_characters}",
            )
    if order.total_images > limits.images_per_job:
        raise OrderRejected(
            "stages", f"{order.total_images} images exceed the maximum of {limits.images_per_job} per job"
        )


def check_providers(order: Order, providers: Mapping[str, Capabilities], default: tuple[str, ...]) -> None:
    """Reject what one of the order's providers cannot draw.

    Raises:
        OrderRejected: naming the field and what is possible.
    """
    for name in order.providers or default:
        if name not in providers:
            known = ", ".join(sorted(providers))
            raise OrderRejected("provider", f"'{name}' is not available; use one of {known} (others need an API key)")
        _check_capabilities(order, name, providers[name])
    _check_image_sizes(order, [providers[name] for name in order.providers or default])


def _check_image_sizes(order: Order, providers: Sequence[Capabilities]) -> None:
    """One of the providers is enough: the others leave such pictures to it."""
    possible = [size for size in ImageSize if any(size in can.image_sizes for can in providers)]
    for position, stage in enumerate(order.stages):
        if stage.image_size not in possible:
            raise OrderRejected(
                f"stages[{position}].image_size",
                f"'{stage.image_size}' is not supported by {' or '.join(can.name for can in providers)};"
                f" use {' or '.join(possible)}",
            )


def _check_capabilities(order: Order, name: str, can: Capabilities) -> None:
    for position, stage in enumerate(order.stages):
        if stage.aspect_ratio not in can.aspect_ratios:
            raise OrderRejected(
                f"stages[{position}].aspect_ratio",
                f"'{stage.aspect_ratio}' is not supported by {name}; use one of {', '.join(can.aspect_ratios)}",
            )
        if len(stage.references) > can.max_references:
            raise OrderRejected(
                f"stages[{position}].references",
                f"{len(stage.references)} exceed {name}'s maximum of {can.max_references}",
            )


def check_references(order: Order, stored: Mapping[int, ReferenceOwner], *, own_only: bool = False) -> None:
    """Reject references that do not exist or belong to somebody else (spec §1).

    Args:
        order: with the user whose job it is.
        stored: the owners of those that exist.
        own_only: reject those without an owner as well, as for users who order by themselves.

    Raises:
        OrderRejected: naming the stage and the attachment.
    """
    for position, stage in enumerate(order.stages):
        for reference in stage.references:
            where = f"stages[{position}].references"
            owner = stored.get(reference.attach_id)
            if own_only and (owner is None or owner.user_id is None or owner.user_id != order.user_id):
                # Ids count up: another answer for each would tell which pictures there are.
                raise OrderRejected(where, f"there is no attachment {reference.attach_id}, or it is not yours")
            if owner is None:
                raise OrderRejected(where, f"attachment {reference.attach_id} does not exist")
            if owner.user_id is not None and owner.user_id != order.user_id:
                raise OrderRejected(where, f"attachment {reference.attach_id} belongs to another user")
