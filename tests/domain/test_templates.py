"""`template` orders: placeholders are replaced by values, and nothing else is ever evaluated (spec §1)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.errors import OrderRejected
from darkroom.domain.orders import Limits
from darkroom.orders import as_stored, read_order

CHAIRS = {
    "prompt": "A {colour} {product}, {light}",
    "light": "morning light",
    "variables": {"colour": ["red", "green"], "product": ["chair", "lamp"]},
    "quantity": 2,
}


def prompts(document: Any) -> list[str]:
    return [stage.prompt for stage in read_order(document).order.stages]


def rejection(document: Any) -> str:
    with pytest.raises(OrderRejected) as caught:
        read_order(document)
    return str(caught.value)


def test_variables_make_every_combination_the_first_slowest() -> None:
    stages = read_order(CHAIRS).order.stages
    assert [stage.prompt for stage in stages] == [
        "A red chair, morning light",
        "A red lamp, morning light",
        "A green chair, morning light",
        "A green lamp, morning light",
    ]
    assert [stage.label for stage in stages] == ["red, chair", "red, lamp", "green, chair", "green, lamp"]
    assert [stage.quantity for stage in stages] == [2] * 4


def test_rows_set_what_is_theirs_and_top_level_values_serve_all() -> None:
    order = read_order(
        {
            "prompt": "A {colour} {product}",
            "quantity": 4,
            "aspect_ratio": "1:1",
            "references": [1, {"attachId": 2, "type": "top"}],
            "rows": [
                {"colour": "red", "product": "chair", "quantity": 3, "aspect-ratio": "16:9", "references": [7]},
                {"prompt": "A vase", "label": "The vase"},
                {"colour": 7, "product": 1.50, "references": "8, 9"},
            ],
        }
    ).order
    assert [(one.prompt, one.label, one.quantity, one.aspect_ratio) for one in order.stages] == [
        ("A red chair", "red, chair", 3, "16:9"),
        ("A vase", "The vase", 4, "1:1"),
        ("A 7 1.5", "7, 1.5", 4, "1:1"),
    ]
    assert [[(ref.attach_id, ref.type) for ref in one.references] for one in order.stages] == [
        [(7, None)],
        [(1, None), (2, "top")],
        [(8, None), (9, None)],
    ]


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("a {x}", "a lemon"),
        ("{x}{x}", "lemonlemon"),
        ("a {{x}", "a {x}"),
        ("a {{{x}", "a {lemon"),
        ("a } b }}", "a } b }}"),
        ("{ X }", "lemon"),
        ("{Product Name} {product-name} {productName}", "jar jar jar"),
        ("{braced}", "{x} {{"),
        ("%s $x {{0}", "%s $x {0}"),
    ],
)
def test_a_placeholder_is_replaced_once_and_nothing_else_is(prompt: str, filled: str) -> None:
    assert prompts({"prompt": prompt, "rows": [{"x": "lemon", "product_name": "jar", "braced": "{x} {{"}]}) == [filled]


@pytest.mark.parametrize("attempt", ["x.__class__", "x!r", "x:>10", "x[0]", "0", "__import__('os')"])
def test_expressions_are_names_without_a_value(attempt: str) -> None:
    said = rejection({"prompt": f"a {{{attempt}}}", "rows": [{"x": "lemon"}]})
    assert said.startswith("rows[0].")
    assert f"has no value, and the prompt needs {{{attempt}}}" in said


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"prompt": "a {x}", "rows": [{"x": "1"}, {"y": 2}]}, "rows[1].x: has no value, and the prompt needs {x}"),
        ({"prompt": "a {x}", "rows": [{"x": None}]}, "rows[0].x: has no value"),
        ({"prompt": "a {x}", "rows": [{"x": True}]}, "rows[0].x: must be a text or a number, not a boolean"),
        ({"prompt": "a", "rows": [{"x": [1]}]}, "rows[0].x: must be a text or a number, not a list"),
        ({"prompt": "a {x}", "variables": {"y": ["1"]}}, "variables.x: has no value"),
        ({"job_type": "template", "prompt": "a {x}"}, "x: has no value"),
        ({"prompt": "a {x", "rows": [{}]}, "rows[0].prompt: has a { without a } at character 3; write {{ for a {"),
        ({"prompt": "a {}", "rows": [{}]}, "rows[0].prompt: has a {} without a name at character 3"),
        ({"rows": [{"x": "1"}]}, "rows[0].prompt: is missing; give one prompt for all rows, or one in each"),
        ({"prompt": "a", "rows": []}, "stages: is empty"),
        ({"prompt": "a", "rows": [{}] * 1001}, "stages: 1001 exceed the maximum of 1000"),
        ({"prompt": "a", "rows": ["x"]}, "rows[0]: "),
        ({"prompt": "a", "rows": {}}, "rows: "),
        ({"prompt": "a", "rows": [{"quantity": "many"}]}, "rows[0].quantity: "),
        ({"prompt": "a", "rows": [{"quantity": 0}]}, "stages[0].quantity: 0 is not between 1 and 10000"),
        ({"prompt": "a", "rows": [{"references": "7 x"}]}, "rows[0].references[1].attach_id: "),
        ({"prompt": "a", "rows": [{"reference": "a.jpg"}]}, "rows[0].reference: 'a.jpg' is not among the files given"),
        ({"prompt": "a", "rows": [{}], "variables": {}}, "variables: are given beside rows; give one of the two"),
        ({"prompt": "a", "variables": {"x": []}}, "variables.x: is empty; give at least one value"),
        ({"prompt": "a", "variables": {"x": [[]]}}, "variables.x[0]: must be a text or a number, not a list"),
        ({"prompt": "a", "variables": "x"}, "variables: must be an object of lists"),
        ({"prompt": "a", "variables": [{"x": 1}]}, "variables[0]: must be an object with name and values"),
        ({"prompt": "a", "variables": {"quantity": [1]}}, "variables.quantity: is a field of the order"),
        ({"prompt": "a", "variables": [{"name": "x", "values": 1}, {"name": "X", "values": 2}]}, "variables.X: is"),
        (
            {"prompt": "a", "variables": {"x": list(range(40)), "y": list(range(40))}},
            "variables: make 1,600 combinations, which exceed the maximum of 1,000 stages",
        ),
        ({"prompt": "{x}", "rows": [{"x": " "}]}, "stages[0].prompt: is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_delivered_names_the_row_and_the_reason(document: Any, said: str) -> None:
    assert rejection(document).startswith(said)


def test_a_prompt_is_never_put_together_beyond_its_maximum() -> None:
    document = {"prompt": "{x}" * 6_000, "x": "y" * 19_000, "rows": [{}] * 1_000}
    assert rejection(document) == "rows[0].prompt: has more than 20,000 characters with its values; shorten it"


def test_a_thousand_stages_are_an_order() -> None:
    read = read_order({"prompt": "A {x}", "rows": [{"x": number} for number in range(1_000)]})
    assert len(read.order.stages) == 1_000
    assert read.order.stages[999].label == "999"
    with pytest.raises(OrderRejected, match="exceed the maximum of 10"):
        read_order({"prompt": "A {x}", "rows": [{"x": 1}] * 11}, limits=Limits(stages=10))


def test_a_text_that_no_prompt_uses_is_an_unknown_key() -> None:
    read = read_order({**CHAIRS, "shadow": "long", "category": "fashion", "globalContext": {}})
    assert read.unknown_keys == ("shadow",)
    assert read_order({"prompt": "{category}", "category": "fashion", "rows": [{"a": "b"}]}).unknown_keys == ()


def test_a_label_is_short_and_on_one_line() -> None:
    [stage] = read_order({"prompt": "a", "rows": [{"x": "word\n " * 40}]}).order.stages
    assert stage.label == ("word " * 40).strip()[:79] + "…"


def sorted_keys(value: Any) -> Any:
    """As PostgreSQL's jsonb gives an object back: shorter keys first, then by their bytes."""
    if isinstance(value, list):
        return [sorted_keys(item) for item in value]
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value, key=lambda key: (len(key), key))}
    return value


@pytest.mark.parametrize(
    "document",
    [CHAIRS, {"prompt": "{product} {a}", "rows": [{"product": "chair", "a": "b"}, {"product": "x", "a": 1}]}],
)
def test_what_is_stored_is_the_same_order_though_the_database_sorts_its_keys(document: Any) -> None:
    kept = as_stored(document)
    assert read_order(sorted_keys(kept)).order == read_order(document).order
    assert as_stored(kept) == kept


values = st.text(max_size=6) | st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.text(), max_size=2)
names = st.sampled_from(["x", "colour", "quantity", "references", "reference", "label", "prompt", "aspectRatio"])


@given(
    prompt=st.text(alphabet="ab{}x ", max_size=12) | values,
    rows=st.lists(st.dictionaries(names | st.text(max_size=3), values, max_size=4), max_size=3) | values,
    variables=st.none() | st.dictionaries(names, values, max_size=3) | values,
)
def test_whatever_comes_is_an_order_or_one_line(prompt: Any, rows: Any, variables: Any) -> None:
    document = {"job_type": "template", "prompt": prompt, "rows": rows, "variables": variables}
    try:
        order = read_order(document).order
    except OrderRejected as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either is right
    else:
        assert read_order(sorted_keys(as_stored(document))).order == order
