"""Order documents become stages; what cannot be delivered is rejected by field and reason (spec §1)."""

from copy import deepcopy
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.errors import OrderRejected
from darkroom.domain.orders import (
    JobType,
    Limits,
)
from darkroom.orders import ReadOrder, owner_of, read_order
from tests.support.documents import DOCUMENTS, GENERAL, OTHER, PIPELINE, PORTRAIT, USER, changed, with_stage, without


def snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key).replace("-", "_")


def camel(key: str) -> str:
    head, *rest = snake(key).split("_")
    return head + "".join(word.capitalize() for word in rest)


def dashed(key: str) -> str:
    return snake(key).replace("_", "-")


SPELLINGS = {"as in the specification": str, "snake_case": snake, "camelCase": camel, "dashed": dashed}


def spelled(value: Any, spelling: Any) -> Any:
    if isinstance(value, list):
        return [spelled(item, spelling) for item in value]
    if isinstance(value, dict):
        return {spelling(key): spelled(item, spelling) for key, item in value.items()}
    return value


def rejected(document: Any, **options: Any) -> OrderRejected:
    with pytest.raises(OrderRejected) as caught:
        read_order(document, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value) == f"{caught.value.field}: {caught.value.reason}"
    return caught.value


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("job_type", DOCUMENTS)
def test_every_spelling_of_a_document_is_the_same_order(job_type: str, spelling: str) -> None:
    read = read_order(spelled(DOCUMENTS[job_type], SPELLINGS[spelling]))
    assert read.unknown_keys == ()
    assert read == read_order(DOCUMENTS[job_type])
    assert read.order.job_type == job_type
    assert read.order.user_id == UUID(USER)


def test_a_pipeline_document_is_one_stage_per_entry() -> None:
    first, second = read_order(PIPELINE).order.stages
    assert (first.stage_index, first.prompt, first.quantity, first.aspect_ratio) == (0, "lake", 50, "1:1")
    assert [ref.attach_id for ref in first.references] == [2109]
    assert (second.stage_index, second.quantity, second.aspect_ratio) == (1, 40, "16:9")
    assert [(ref.attach_id, ref.type) for ref in second.references] == [(7, "model"), (8, "top")]
    assert read_order(PIPELINE).order.total_images == 90


def test_the_merged_image_comes_first() -> None:
    order = read_order(with_stage(mergedImageAttachId=5)).order
    assert [ref.attach_id for ref in order.stages[1].references] == [5, 7, 8]
    assert order.reference_ids == {5, 7, 8, 2109}


def test_a_general_document_is_one_stage() -> None:
    [stage] = read_order(GENERAL).order.stages
    assert (stage.stage_index, stage.prompt, stage.quantity, stage.aspect_ratio) == (0, "lake", 4, "1:1")
    assert [(ref.attach_id, ref.type) for ref in stage.references] == [(7, "model")]


def test_a_portrait_document_is_one_image_per_entry_in_order() -> None:
    stages = read_order(PORTRAIT).order.stages
    assert [(stage.stage_index, stage.prompt, stage.quantity, stage.aspect_ratio) for stage in stages] == [
        (0, "film grain", 1, "3:4"),
        (1, "studio", 1, "3:4"),
    ]
    assert [stage.references[0].attach_id for stage in stages] == [9, 10]


def test_stages_are_ordered_by_their_index_and_a_missing_one_is_the_position() -> None:
    stages = [{"prompt": name, "quantity": 1} for name in "abc"]
    assert [stage.prompt for stage in read_order({"stages": stages}).order.stages] == ["a", "b", "c"]
    stages[0]["stage_index"] = 7
    read = read_order({"stages": stages}).order
    assert [(stage.stage_index, stage.prompt) for stage in read.stages] == [(1, "b"), (2, "c"), (7, "a")]


def test_a_stage_without_references_is_text_to_image() -> None:
    assert read_order({"stages": [{"prompt": "a", "quantity": 1}]}).order.stages[0].references == ()


def test_the_rows_column_wins_over_the_documents_key() -> None:
    document = changed(GENERAL, job_type="simple_portrait")
    assert read_order(document, job_type="simple_general").order.job_type is JobType.SIMPLE_GENERAL
    assert read_order(changed(GENERAL, job_type="simple_general")).order.job_type is JobType.SIMPLE_GENERAL


def test_options_are_read_from_every_kind_of_document() -> None:
    options = {
        "production_id": str(OTHER),
        "max_top_ups": 2,
        "max_credits": 500,
        "priority": 1,
        "provider": "offline",
    }
    for document in DOCUMENTS.values():
        order = read_order(changed(document, **options)).order
        assert str(order.production_id) == options["production_id"]
        assert (order.max_top_ups, order.max_credits, order.priority, order.providers) == (2, 500, 1, ("offline",))
        plain = read_order(document).order
        assert (plain.max_top_ups, plain.max_credits, plain.priority, plain.providers) == (None, None, 3, ())


def test_unknown_keys_are_named_and_ignored() -> None:
    document = changed(PIPELINE, callBack="x", stages=[{"prompt": "a", "quantity": 1, "temperature": 2}])
    read = read_order(document)
    assert set(read.unknown_keys) == {"call_back", "stages[0].temperature"}
    assert len(read.order.stages) == 1


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        (changed(PIPELINE, stages=[]), "stages", "is empty"),
        (without(PIPELINE, "stages"), "job_type", "stages"),
        (with_stage(quantity=0), "stages[1].quantity", "0"),
        (with_stage(quantity=-3), "stages[1].quantity", "-3"),
        (with_stage(quantity=10_001), "stages[1].quantity", "10000"),
        (with_stage(quantity=1.5), "stages[1].quantity", "whole"),
        (with_stage(quantity=True), "stages[1].quantity", "whole"),
        (with_stage(quantity=None), "stages[1].quantity", ""),
        (with_stage(quantity="many"), "stages[1].quantity", "many"),
        (with_stage(prompt=""), "stages[1].prompt", "empty"),
        (with_stage(prompt=" \n\t"), "stages[1].prompt", "empty"),
        (with_stage(prompt="x" * 20_001), "stages[1].prompt", "20000"),
        (with_stage(prompt=7), "stages[1].prompt", "7"),
        (with_stage(stage_index=0), "stages[1].stage_index", "twice"),
        (with_stage(stage_index=-1), "stages[1].stage_index", "-1"),
        (with_stage(mergedImageAttachId=0), "stages[1].merged_image_attach_id", "0"),
        (with_stage(individualImageAttachIds=["x"]), "stages[1].individual_image_attach_ids[0]", "x"),
        (changed(PIPELINE, stages=[{"prompt": "a"}]), "stages[0].quantity", "missing"),
        (changed(PIPELINE, stages=[{"quantity": 1}]), "stages[0].prompt", "missing"),
        (changed(PIPELINE, stages={"a": 1}), "stages", ""),
        (changed(PIPELINE, stages=["a"]), "stages[0]", ""),
        (changed(PIPELINE, stages=[{"prompt": "a", "quantity": 1}] * 1001), "stages", "1000"),
        (changed(PIPELINE, stages=[{"prompt": "a", "quantity": 10_000}] * 4), "stages", "30000"),
        (changed(PIPELINE, userId="nobody"), "user_id", "nobody"),
        (changed(PIPELINE, job_type="video"), "job_type", "video"),
        (changed(PIPELINE, priority=6), "priority", "6"),
        (changed(PIPELINE, priority=0), "priority", "0"),
        (changed(PIPELINE, max_top_ups=-1), "max_top_ups", "-1"),
        (changed(PIPELINE, max_credits=-1), "max_credits", "-1"),
        (changed(PIPELINE, production_id="p"), "production_id", "p"),
        (without(GENERAL, "prompt"), "prompt", "missing"),
        (changed(GENERAL, uploadedAttachIds=[]), "uploaded_attach_ids", ""),
        (changed(PORTRAIT, mergedImages=[]), "stages", "is empty"),
        ({}, "job_type", "missing"),
        ([], "document", "list"),
        ("stages", "document", "not a string"),
        (None, "document", "not null"),
        ({1: 2}, "document", "1"),
    ],
)  # fmt: skip
def test_what_cannot_be_delivered_is_rejected_by_its_field(document: Any, field: str, said: str) -> None:
    error = rejected(document)
    assert error.field == field
    assert said in error.reason


def test_a_rejection_names_the_entry_as_it_was_sent() -> None:
    document = deepcopy(PIPELINE)
    document["stages"].reverse()
    document["stages"][0]["prompt"] = ""
    assert rejected(document).field == "stages[0].prompt"


def test_a_document_without_stages_is_rejected_by_the_stage_it_makes() -> None:
    assert rejected(changed(GENERAL, quantity=0)).field == "stages[0].quantity"
    portraits = [PORTRAIT["mergedImages"][0], {"mergedAttachId": 9, "wrappingPrompt": ""}]
    assert rejected(changed(PORTRAIT, mergedImages=portraits)).field == "stages[1].prompt"


def test_the_columns_job_type_is_checked_too() -> None:
    error = rejected(PIPELINE, job_type="video")
    assert error.field == "job_type"
    assert "pipeline_stage" in error.reason


def test_the_configured_maximum_is_what_counts() -> None:
    limits = Limits(stages=1, images_per_stage=45, images_per_job=60)
    assert rejected(PIPELINE, limits=limits).field == "stages"
    limits = Limits(images_per_stage=45)
    assert rejected(PIPELINE, limits=limits).field == "stages[0].quantity"
    limits = Limits(images_per_job=89)
    assert "89" in rejected(PIPELINE, limits=limits).reason


def test_the_largest_order_is_accepted() -> None:
    stages = [{"prompt": "x" * 20_000, "quantity": 300} for _ in range(100)]
    assert read_order({"stages": stages}).order.total_images == 30_000
    assert read_order({"stages": [{"prompt": "a", "quantity": 10_000}] * 3}).order.total_images == 30_000


def test_two_spellings_that_disagree_are_rejected_and_two_that_agree_are_not() -> None:
    assert rejected(changed(GENERAL, aspect_ratio="16:9")).field == "aspect_ratio"
    assert read_order(changed(GENERAL, aspect_ratio="1:1")).order.stages[0].aspect_ratio == "1:1"


def test_a_document_without_end_is_rejected() -> None:
    document: dict[str, Any] = {"prompt": "a"}
    for _ in range(10_000):
        document = {"stages": [document]}
    assert rejected(document).field == "document"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["stages", "prompt", "quantity", "attachId", "userId", "uploadedAttachIds", "priority"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(document=json_values, job_type=st.none() | st.sampled_from(["pipeline_stage", "simple_general", "x"]))
def test_whatever_comes_is_an_order_or_one_line(document: Any, job_type: str | None) -> None:
    try:
        assert isinstance(read_order(document, job_type=job_type), ReadOrder)
    except OrderRejected as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either is right


@given(document=json_values)
def test_the_owner_of_whatever_comes_is_a_user_nobody_or_one_line(document: Any) -> None:
    try:
        owner = owner_of(document)
    except OrderRejected as error:
        assert error.field  # noqa: PT017 - either is right
    else:
        assert owner is None or isinstance(owner, UUID)


def test_the_owner_is_read_without_the_rest() -> None:
    assert owner_of({"user-id": USER, "stages": "nonsense"}) == UUID(USER)
    assert owner_of({"stages": []}) is None
