"""An order that its provider cannot draw, or that names references of others, is rejected by its field (spec §1)."""

from collections.abc import Mapping
from uuid import UUID

import pytest

from darkroom.domain.errors import OrderRejected
from darkroom.domain.orders import (
    Capabilities,
    Order,
    ReferenceOwner,
    check_providers,
    check_references,
)
from darkroom.orders import read_order
from tests.support.documents import DOCUMENTS, GENERAL, OTHER, PIPELINE, USER, changed, with_stage, without

CAN = {"gemini": Capabilities(name="gemini", aspect_ratios=("16:9", "1:1", "3:4"), max_references=14)}


def provider_rejection(order: Order, default: str = "gemini") -> OrderRejected:
    with pytest.raises(OrderRejected) as caught:
        check_providers(order, CAN, (default,))
    return caught.value


def test_what_the_provider_draws_is_accepted() -> None:
    for document in DOCUMENTS.values():
        check_providers(read_order(document).order, CAN, ("gemini",))


def test_an_aspect_ratio_that_the_provider_lacks_is_rejected() -> None:
    error = provider_rejection(read_order(with_stage(**{"aspect-ratio": "2:1"})).order)
    assert error.field == "stages[1].aspect_ratio"
    assert "16:9" in error.reason


def test_an_unknown_provider_is_rejected() -> None:
    error = provider_rejection(read_order(changed(PIPELINE, provider="dalle")).order)
    assert (error.field, "gemini" in error.reason) == ("provider", True)


def test_more_references_than_the_provider_takes_are_rejected() -> None:
    references = [{"attachId": number} for number in range(1, 15)]
    check_providers(read_order(with_stage(individualImageAttachIds=references)).order, CAN, ("gemini",))
    error = provider_rejection(
        read_order(with_stage(individualImageAttachIds=references, mergedImageAttachId=99)).order
    )
    assert error.field == "stages[1].references"
    assert "15" in error.reason


def reference_rejection(order: Order, stored: Mapping[int, ReferenceOwner]) -> OrderRejected:
    with pytest.raises(OrderRejected) as caught:
        check_references(order, stored)
    return caught.value


def owned(*attach_ids: int, by: UUID | None) -> dict[int, ReferenceOwner]:
    return {attach_id: ReferenceOwner(attach_id=attach_id, user_id=by) for attach_id in attach_ids}


def test_a_reference_that_does_not_exist_is_rejected() -> None:
    error = reference_rejection(read_order(PIPELINE).order, owned(2109, 7, by=UUID(USER)))
    assert error.field == "stages[1].references"
    assert "8 does not exist" in error.reason


def test_a_reference_of_another_user_is_rejected() -> None:
    error = reference_rejection(read_order(GENERAL).order, owned(7, by=OTHER))
    assert error.field == "stages[0].references"
    assert "another user" in error.reason


def test_a_reference_without_an_owner_may_be_used_by_anyone() -> None:
    for document in (GENERAL, without(GENERAL, "userId")):
        check_references(read_order(document).order, owned(7, by=None))


def test_an_anonymous_job_uses_only_references_without_an_owner() -> None:
    assert reference_rejection(read_order(without(GENERAL, "userId")).order, owned(7, by=OTHER)).field
