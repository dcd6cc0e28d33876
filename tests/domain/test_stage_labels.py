"""A stage that nobody named is counted from one, also where jobs of earlier versions say its index."""

import pytest

from darkroom.domain.orders import Stage
from darkroom.domain.progress import StageProgress
from darkroom.domain.rounds import StagePlan
from darkroom.domain.stage_labels import number_of_stage


@pytest.mark.parametrize(
    ("index", "kept", "shown"),
    [
        (0, "stage 0", "stage 1"),
        (0, "stage 1", "stage 1"),
        (7, "stage 7", "stage 8"),
        (7, "stage 8", "stage 8"),
        (7, "red chair", "red chair"),
        (7, "stage 0", "stage 0"),
        (3, "", "stage 4"),
    ],
)
def test_the_index_as_a_label_is_counted_from_one(index: int, kept: str, shown: str) -> None:
    told: list[Stage | StageProgress | StagePlan] = [
        Stage(stage_index=index, label=kept, prompt="a lemon", quantity=1),
        StageProgress(stage_index=index, label=kept, quantity=1),
        StagePlan(stage_index=index, label=kept, quantity=1, target=1),
    ]
    assert {one.label for one in told} == {shown}
    again = Stage.model_validate_json(told[0].model_dump_json())
    assert again.label == shown, "what was read once stays"


def test_a_stage_without_a_name_is_a_number() -> None:
    assert [number_of_stage(index) for index in (0, 1, 999)] == ["stage 1", "stage 2", "stage 1000"]
