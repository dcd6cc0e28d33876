"""The door: what the document alone cannot tell is checked against the records, and nothing is written."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from darkroom.domain.errors import OrderRejected
from darkroom.domain.orders import Capabilities, Limits, ReferenceOwner
from darkroom.domain.stored import NewReference
from darkroom.domain.wallets import OrganizationAccount
from darkroom.orders.intake import Intake
from darkroom.webhooks.egress_policy import EgressPolicy
from tests.support.records.fixture import RecordsFixture
from tests.support.records.organizations import organization, set_membership, set_organization
from tests.support.webhooks.hostile_addresses import HOSTS
from tests.support.webhooks.name_server import NameServer

CAN = {"offline": Capabilities(name="offline", aspect_ratios=("16:9", "1:1"), max_references=14)}

NAMES = NameServer({"shop.example": "93.184.216.34", "inside.example": "10.1.2.3"})


def document(*references: int, **values: Any) -> dict[str, Any]:
    stage = {"prompt": "lake", "quantity": 2, "individualImageAttachIds": [{"attachId": one} for one in references]}
    return {"stages": [stage], **values}


@pytest.fixture
def intake(fixture: RecordsFixture) -> Intake:
    return Intake(fixture.records, CAN, ("offline",), Limits(), EgressPolicy(NAMES))


async def rejected(
    fixture: RecordsFixture, intake: Intake, order: dict[str, Any], user_id: UUID | None
) -> tuple[str, str]:
    before = await fixture.dump()
    with pytest.raises(OrderRejected) as caught:
        await intake.check(order, user_id)
    assert await fixture.dump() == before
    return caught.value.field, caught.value.reason


async def upload(fixture: RecordsFixture, user_id: UUID | None) -> int:
    return await fixture.records.add_reference(
        NewReference(
            user_id=user_id, original_name="a.png", path="a.png", size=1, media_type="image/png", sha256="ab" * 32
        )
    )


async def test_an_order_gets_the_user_who_pays(fixture: RecordsFixture, intake: Intake) -> None:
    user_id = await fixture.member()
    assert (await intake.check(document(), user_id)).order.user_id == user_id
    assert (await intake.check(document(userId=str(user_id)), user_id)).order.user_id == user_id
    assert (await intake.check(document(), None)).order.user_id is None


async def test_a_user_without_a_member_row_is_rejected(fixture: RecordsFixture, intake: Intake) -> None:
    stranger = uuid4()
    field, reason = await rejected(fixture, intake, document(userId=str(stranger)), stranger)
    assert field == "user_id"
    assert f"{stranger} has no member row" in reason


async def test_an_order_in_another_users_name_is_rejected(fixture: RecordsFixture, intake: Intake) -> None:
    one, other = await fixture.member(), await fixture.member()
    for payer in (other, None):
        field, _ = await rejected(fixture, intake, document(userId=str(one)), payer)
        assert field == "user_id"


async def test_references_are_the_users_own_or_nobodys(fixture: RecordsFixture, intake: Intake) -> None:
    one, other = await fixture.member(), await fixture.member()
    own, nobodys = await upload(fixture, one), await upload(fixture, None)
    await intake.check(document(own, nobodys), one)
    await intake.check(document(nobodys), None)
    for payer in (other, None):
        field, reason = await rejected(fixture, intake, document(nobodys, own), payer)
        assert (field, "another user" in reason) == ("stages[0].references", True)
    _, reason = await rejected(fixture, intake, document(own, 4_711), one)
    assert "4711 does not exist" in reason


async def test_a_picture_that_is_not_delivered_is_no_reference(fixture: RecordsFixture, intake: Intake) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id)
    attach_id = await job.make(0)
    await rejected(fixture, intake, document(attach_id), user_id)
    await job.settle(0)
    await intake.check(document(attach_id), user_id)


async def test_a_promised_reference_counts_as_stored(fixture: RecordsFixture, intake: Intake) -> None:
    user_id = await fixture.member()
    promised: Mapping[int, ReferenceOwner] = {99: ReferenceOwner(attach_id=99, user_id=user_id)}
    assert (await intake.check(document(99), user_id, promised=promised)).order.reference_ids == {99}


async def test_what_the_provider_lacks_is_rejected(fixture: RecordsFixture, intake: Intake) -> None:
    user_id = await fixture.member()
    field, _ = await rejected(fixture, intake, document(**{"aspect-ratio": "2:1"}), user_id)
    assert field == "stages[0].aspect_ratio"
    field, _ = await rejected(fixture, intake, document(provider="dalle"), user_id)
    assert field == "provider"


async def test_a_webhook_goes_to_the_public_internet_alone(fixture: RecordsFixture, intake: Intake) -> None:
    user_id = await fixture.member()
    url = "https://shop.example/hooks?token=1"
    for key in ("webhook_url", "webhookUrl", "webhook-url"):
        assert (await intake.check(document(**{key: url}), user_id)).order.webhook_url == url
    for unsaid in ("https://not-yet.example/", "https://inside.example/"):
        assert (await intake.check(document(webhook_url=unsaid), user_id)).order.webhook_url == unsaid
    assert (await intake.check(document(), user_id)).order.webhook_url is None


async def test_an_order_with_a_hostile_webhook_is_rejected(fixture: RecordsFixture, intake: Intake) -> None:
    for url in [*(f"https://{host}/" for host in HOSTS), "http://inside.example/", "no address", ""]:
        with pytest.raises(OrderRejected) as caught:
            await intake.check(document(webhook_url=url), None)
        assert caught.value.field == "webhook_url", url
    field, reason = await rejected(fixture, intake, document(webhook_url="https://169.254.169.254/"), None)
    assert (field, "metadata" in reason) == ("webhook_url", True)


async def test_the_end_of_a_rejected_order_is_told_where_its_webhook_may_lead(intake: Intake) -> None:
    wrong: dict[str, Any] = {"stages": [], "webhookUrl": "https://shop.example/"}
    assert await intake.webhook_of(wrong) == "https://shop.example/"
    others: list[object] = [{"webhook_url": "https://10.1.2.3/"}, {"webhook_url": 7}, {}, [], {1: 2}]
    for other in others:
        assert await intake.webhook_of(other) is None


async def test_an_organization_pays_that_the_row_or_the_document_names(fixture: RecordsFixture, intake: Intake) -> None:
    user_id = await fixture.member(0)
    org_id = await organization(fixture, 1_000, [user_id])
    for order, column in (
        (document(orgId=str(org_id)), None),
        (document(), org_id),
        (document(org_id=str(org_id)), org_id),
    ):
        admitted = await intake.check(order, user_id, org_id=column)
        assert (admitted.order.user_id, admitted.order.org_id) == (user_id, org_id)
        assert admitted.unknown_keys == ()
        assert isinstance(admitted.account, OrganizationAccount)
        assert (admitted.account.org_id, admitted.account.available) == (org_id, 1_000)
    assert (await intake.check(document(), user_id)).order.org_id is None


async def test_a_row_and_a_document_that_name_two_organizations_are_rejected(
    fixture: RecordsFixture, intake: Intake
) -> None:
    user_id = await fixture.member()
    one, other = [await organization(fixture, 1_000, [user_id]) for _ in range(2)]
    with pytest.raises(OrderRejected, match=f"{one} is not the organization that pays for the job \\({other}\\)"):
        await intake.check(document(org_id=str(one)), user_id, org_id=other)


async def test_an_organization_that_may_not_pay_is_rejected_in_one_line(
    fixture: RecordsFixture, intake: Intake
) -> None:
    user_id, stranger = await fixture.member(), await fixture.member()
    org_id = await organization(fixture, 1_000, [user_id])
    order = document(org_id=str(org_id))
    assert await rejected(fixture, intake, order, stranger) == (
        "org_id",
        f"user {stranger} is not an active member of organization {org_id}; "
        "ask an admin of the organization to add the user",
    )
    await set_organization(fixture, org_id, "suspended")
    assert await rejected(fixture, intake, order, user_id) == (
        "org_id",
        f"organization {org_id} is suspended and cannot pay; ask its owner to reactivate it",
    )
    await set_membership(fixture, org_id, user_id, "banned")
    field, reason = await rejected(fixture, intake, order, user_id)
    assert (field, "(status: banned)" in reason) == ("org_id", True)
    field, reason = await rejected(fixture, intake, order, None)
    assert (field, reason) == (
        "org_id",
        "an organization pays only for its members; set the user, or leave it out",
    )
    field, reason = await rejected(fixture, intake, document(org_id="acme"), user_id)
    assert field == "org_id"


async def test_a_member_without_credits_can_order_at_the_expense_of_an_organization_but_not_the_reverse(
    fixture: RecordsFixture, intake: Intake
) -> None:
    user_id = await fixture.member(1_000)
    org_id = await organization(fixture, 0, [user_id])
    admitted = await intake.check(document(org_id=str(org_id)), user_id)
    assert admitted.account is not None
    assert admitted.account.available == 0
