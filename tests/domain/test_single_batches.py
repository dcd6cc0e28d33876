"""`single_batch` orders: a stage per angle and shot of one base prompt (spec §1)."""

from typing import Any

import pytest

from darkroom.domain.errors import OrderRejected
from darkroom.domain.orders import JobType
from darkroom.orders import read_order
from darkroom.orders.single_batch_prompts import ANGLES, SHOTS, batch_prompt

REFERENCES = [{"attachId": 7, "type": "top"}, {"attachId": 8, "type": "Pants"}, {"attachId": 9, "type": "shoes"}]
BASE: dict[str, Any] = {"basePrompt": "A linen coat", "individualImageAttachIds": REFERENCES}


def stages(document: Any, **row: Any) -> list[tuple[str, int, list[int]]]:
    found = read_order(document, **row).order.stages
    return [(stage.label, stage.quantity, [ref.attach_id for ref in stage.references]) for stage in found]


def test_the_text_of_a_prompt() -> None:
    assert batch_prompt("front", "full", "A linen coat, {city}") == (
        "Front view, facing the camera; full shot, the whole subject in the frame.\n\nA linen coat, {city}"
    )
    assert batch_prompt("Profile ", "TIGHT", "A coat") == (
        "Profile view, at a right angle to the camera; tight shot, a close-up that fills the frame.\n\nA coat"
    )
    assert batch_prompt("from a drone", "extra wide", "A coat") == "from a drone; extra wide.\n\nA coat"
    assert set(ANGLES) == {"front", "side", "profile", "back"}
    assert set(SHOTS) == {"tight", "middle", "full"}


def test_a_stage_per_combination_in_order() -> None:
    combinations = [{"angle": "back", "shot": "full", "quantity": "3"}, {"angle": "front", "shot": "middle"}]
    assert stages({**BASE, "combinations": combinations}) == [
        ("back, full", 3, [7, 8, 9]),
        ("front, middle", 1, [7, 8, 9]),
    ]


def test_a_tight_shot_leaves_out_pants_and_shoes_unless_nothing_would_be_left() -> None:
    tight = {"combinations": [{"angle": "front", "shot": "tight", "quantity": 1}]}
    assert stages({**BASE, **tight}) == [("front, tight", 1, [7])]
    assert stages({**BASE, **tight, "individualImageAttachIds": REFERENCES[1:]}) == [("front, tight", 1, [8, 9])]
    assert stages({**BASE, **tight, "mergedImageAttachId": 5}) == [("front, tight", 1, [5, 7])]


@pytest.mark.parametrize(
    ("more", "row", "expected"),
    [
        ({}, {}, ("front, full", 1)),
        ({}, {"total_images": 6}, ("front, full", 6)),
        ({}, {"total_images": 0}, ("front, full", 1)),
        ({"quantity": "4"}, {"total_images": 6}, ("front, full", 4)),
        ({"angle": "back"}, {}, ("back, full", 1)),
        ({"cameraAngle": "side", "shotType": "tight", "combinations": []}, {}, ("side, tight", 1)),
        ({"angle": "back", "cameraAngle": "side"}, {}, ("back, full", 1)),
    ],
)
def test_without_combinations_it_is_one_of_the_documents_own(
    more: dict[str, Any], row: dict[str, Any], expected: tuple[str, int]
) -> None:
    [found] = stages({"basePrompt": "A coat", **more}, **row)
    assert found[:2] == expected


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"basePrompt": " "}, "stages[0].prompt: is empty"),
        ({"basePrompt": "\u3164", "negative_prompt": "x"}, "stages[0].prompt: is without a visible character"),
        ({"basePrompt": "a", "combinations": [{"quantity": 0}]}, "stages[0].quantity: 0 is not between"),
        ({"basePrompt": "a", "combinations": [{"quantity": "x"}]}, "combinations[0].quantity: "),
        ({"basePrompt": "a", "combinations": [{}] * 1001}, "stages: 1001 exceed the maximum of 1000"),
        ({"basePrompt": "a", "combinations": {"angle": "front"}}, "combinations: "),
        ({"job_type": "single_batch", "combinations": [{}]}, "base_prompt: is missing"),
    ],
)
def test_what_cannot_be_delivered_is_rejected_by_its_field(document: Any, said: str) -> None:
    with pytest.raises(OrderRejected) as caught:
        read_order(document)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("job_type", [one for one in JobType if one is not JobType.TEMPLATE] + [None])
def test_the_oldest_documents_are_one_stage_whatever_their_row_says(job_type: JobType | None) -> None:
    document = {"prompt": "A {lemon}, as it is", "quantity": "2", "mergedImageAttachId": 5}
    for one in (document, {"prompt": "A {lemon}, as it is", "quantity": 2}):
        order = read_order(one, job_type=job_type).order
        assert order.job_type is (job_type or JobType.PIPELINE_STAGE)
        assert [(stage.prompt, stage.quantity) for stage in order.stages] == [("A {lemon}, as it is", 2)]
    assert [ref.attach_id for ref in read_order(document, job_type=job_type).order.stages[0].references] == [5]
    assert read_order(document, job_type="template").order.stages[0].prompt == "A {lemon}, as it is"


def test_the_oldest_documents_take_the_rows_number_and_need_one() -> None:
    assert read_order({"prompt": "a"}, total_images=3).order.total_images == 3
    with pytest.raises(OrderRejected, match=r"^quantity: is missing"):
        read_order({"prompt": "a"})


def test_what_front_ends_send_without_meaning_is_ignored_without_a_warning() -> None:
    more = {
        "category": "fashion",
        "globalContext": {"a-b": 1, "a_b": 2, "deep": {"nothing": None}},
        "cameraAngle": "front",
        "shotType": "full",
        "isPreEdited": True,
        "totalImages": 7,
        "aspectRatio": "1:1",
        "aspect-ratio": "1:1",
    }
    read = read_order({**more, "stages": [{**more, "prompt": "a", "quantity": 1, "colour": "red"}]})
    assert read.unknown_keys == ("stages[0].colour",)
    assert read.order.stages[0].aspect_ratio == "1:1"
    with pytest.raises(OrderRejected, match="nan"):
        read_order({"globalContext": {"x": float("nan")}, "stages": []})


def test_a_negative_prompt_stands_at_the_end_of_the_prompt() -> None:
    stages = [{"prompt": "a", "quantity": 1, "negative_prompt": " blur "}, {"prompt": "b", "quantity": 1}]
    order = read_order({"negative-prompt": "text", "stages": stages}).order
    assert [stage.prompt for stage in order.stages] == ["a\n\nAvoid: blur", "b\n\nAvoid: text"]
    with pytest.raises(OrderRejected, match=r"^stages\[0\].prompt: is empty"):
        read_order({"negative_prompt": "text", "stages": [{"prompt": " ", "quantity": 1}]})
