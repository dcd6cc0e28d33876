"""The format of the delivered files: chosen for a whole order or a part of it (spec §1), and what files are called."""

from typing import Any
from uuid import uuid4

import pytest

from darkroom.domain.errors import OrderRejected
from darkroom.domain.formats import SUFFIXES, ImageFormat, ImageSize, media_type_of
from darkroom.domain.names import image_key, sidecar_key
from darkroom.domain.orders import Capabilities, check_providers
from darkroom.orders import read_order
from darkroom.orders.again import document_again
from tests.support.documents import DOCUMENTS

PARTS = {
    "pipeline_stage": "stages",
    "simple_portrait": "mergedImages",
    "single_batch": "combinations",
    "storybook": "pages",
    "template": "rows",
}


def formats(document: dict[str, Any]) -> list[ImageFormat | None]:
    read = read_order(document)
    assert read.unknown_keys == ()
    return [stage.format for stage in read.order.stages]


@pytest.mark.parametrize("job_type", DOCUMENTS)
def test_an_order_of_every_type_may_name_a_format(job_type: str) -> None:
    assert set(formats(DOCUMENTS[job_type])) == {None}
    assert set(formats({**DOCUMENTS[job_type], "format": "PNG"})) == {ImageFormat.PNG}
    assert set(formats({**DOCUMENTS[job_type], "format": "jpg"})) == {ImageFormat.JPEG}


@pytest.mark.parametrize("job_type", [name for name, key in PARTS.items() if key in DOCUMENTS.get(name, {})])
def test_a_part_may_name_its_own(job_type: str) -> None:
    document, key = DOCUMENTS[job_type], PARTS[job_type]
    first, *others = document[key]
    changed = {**document, "format": "avif", key: [{**first, "format": "original"}, *others]}
    found = formats(changed)
    assert found == ["original", *["avif"] * (len(found) - 1)]
    stages = read_order(changed).order.stages
    again = document_again(changed, job_type, stages)
    assert [stage.format for stage in read_order(again).order.stages] == found


def test_what_the_settings_say_is_for_stages_that_name_none() -> None:
    document = {"stages": [{"prompt": "a", "quantity": 1, "format": "png"}, {"prompt": "b", "quantity": 1}]}
    order = read_order(document).order.with_format(ImageFormat.AVIF)
    assert [stage.format for stage in order.stages] == ["png", "avif"]


@pytest.mark.parametrize("wrong", ["gif", "", 1, ["png"], {"png": 1}])
def test_another_format_is_rejected_with_those_there_are(wrong: Any) -> None:
    with pytest.raises(OrderRejected) as caught:
        read_order({"stages": [{"prompt": "a", "quantity": 1, "format": wrong}]})
    assert caught.value.field == "stages[0].format"
    assert "'webp', 'jpeg', 'png', 'avif' or 'original'" in caught.value.reason


@pytest.mark.parametrize(("media_type", "suffix"), SUFFIXES.items())
def test_a_name_tells_the_media_type_and_where_the_mark_lies(media_type: str, suffix: str) -> None:
    own = image_key(uuid4(), None, 0, 12, uuid4(), suffix)
    assert (media_type_of(own), sidecar_key(own)) == (media_type, None)
    beside = image_key(uuid4(), None, 0, 12, uuid4(), f".original{suffix}")
    assert media_type_of(beside) == media_type
    assert sidecar_key(beside) == beside.removesuffix(suffix) + ".xmp"


@pytest.mark.parametrize("job_type", DOCUMENTS)
def test_an_order_of_every_type_may_name_a_size(job_type: str) -> None:
    def sizes(document: dict[str, Any]) -> set[str]:
        return {stage.image_size for stage in read_order(document).order.stages}

    document, key = DOCUMENTS[job_type], PARTS.get(job_type)
    assert sizes(document) == {"1K"}
    assert sizes({**document, "imageSize": "4k"}) == {"4K"}
    if key in document:
        first, *others = document[key]
        changed = {**document, "image_size": "4K", key: [{**first, "image_size": "2K"}, *others]}
        found = [stage.image_size for stage in read_order(changed).order.stages]
        assert found == ["2K", *["4K"] * (len(found) - 1)]
        again = document_again(changed, job_type, read_order(changed).order.stages)
        assert [stage.image_size for stage in read_order(again).order.stages] == found


def test_a_size_that_no_provider_of_the_order_has_is_rejected_in_one_line() -> None:
    small = Capabilities(name="small", aspect_ratios=("16:9",), max_references=0)
    large = Capabilities(name="large", aspect_ratios=("16:9",), max_references=0, image_sizes=tuple(ImageSize))
    there = {"small": small, "large": large}
    order = read_order({"stages": [{"prompt": "a", "quantity": 1, "image_size": "4K"}]}).order
    check_providers(order, there, ("small", "large"))  # the other one draws it
    with pytest.raises(OrderRejected) as caught:
        check_providers(order, there, ("small",))
    assert str(caught.value) == "stages[0].image_size: '4K' is not supported by small; use 1K"
