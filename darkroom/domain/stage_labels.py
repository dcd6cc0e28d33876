"""What a stage is called that nobody named: people count from one, while ids and fields keep the index."""

from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def number_of_stage(stage_index: int) -> str:
    """A stage without a name, for people: `stage 1` is the one with index 0."""
    return f"stage {stage_index + 1}"


def _counted_from_one(label: str, info: ValidationInfo) -> str:
    # Of a stage that nobody named, jobs of earlier versions and deleted ones say the index, those of before Darkroom
    # nothing.
    index = info.data.get("stage_index")
    return number_of_stage(index) if isinstance(index, int) and label in ("", f"stage {index}") else label


StageLabel = Annotated[str, AfterValidator(_counted_from_one)]
"""A label, in a value whose `stage_index` is declared before it."""
