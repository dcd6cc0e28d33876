"""Members, their journals, and the pictures they uploaded."""

from uuid import UUID, uuid4

import pytest

from darkroom.domain.money import Transaction
from darkroom.domain.stored import NewReference
from tests.support.records.fixture import RecordsFixture


def reference(user_id: UUID | None, sha256: str = "ab" * 32) -> NewReference:
    return NewReference(
        user_id=user_id,
        original_name="model.png",
        path=f"uploads/{user_id}/{sha256}.png",
        size=99,
        media_type="image/png",
        sha256=sha256,
    )


async def test_nobody_has_an_account_without_a_member_row(fixture: RecordsFixture) -> None:
    assert await fixture.records.account(uuid4()) is None


@pytest.mark.own_tables
async def test_a_grant_creates_the_member_and_a_journal_row(fixture: RecordsFixture) -> None:
    user_id = uuid4()
    account = await fixture.records.grant(user_id, 250, "first")
    assert (account.balance, account.held, account.available) == (250, 0, 250)
    [row] = await fixture.records.journal(user_id, 10)
    assert (row.transaction_type, row.amount, row.balance_after) == (Transaction.GRANT, 250, 250)


async def test_a_journal_is_read_newest_first_up_to_the_limit(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(0)
    for amount in (1, 2, 3):
        await fixture.records.grant(user_id, amount, f"grant-{amount}-{user_id}")
    assert [row.amount for row in await fixture.records.journal(user_id, 2)] == [3, 2]


async def test_a_settlement_stands_in_the_journal_with_its_attachment_and_production(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(100)
    production_id = await fixture.production(user_id)
    job = await fixture.opened(user_id, (1,), production_id=production_id)
    [attach_id] = await job.deliver([0])
    [row] = await fixture.records.journal(user_id, 10)
    assert row.transaction_type is Transaction.DEDUCT
    assert (row.amount, row.balance_after, row.attach_id, row.production_id) == (-20, 80, attach_id, production_id)
    assert row.idempotency_key == f"{job.job_id}/0/0"


@pytest.mark.own_tables
async def test_a_settlement_without_a_production_has_none_in_the_journal(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(100)
    job = await fixture.opened(user_id, (1,))
    await job.deliver([0])
    assert [row.production_id for row in await fixture.records.journal(user_id, 10)] == [None]


async def test_an_uploaded_picture_is_found_with_its_owner_and_its_file(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    attach_id = await fixture.records.add_reference(reference(user_id))
    owners = await fixture.records.reference_owners([attach_id, attach_id + 1])
    assert {key: owner.user_id for key, owner in owners.items()} == {attach_id: user_id}
    stored = await fixture.records.stored_file(attach_id)
    assert stored is not None
    assert (stored.path, stored.media_type, stored.user_id) == (reference(user_id).path, "image/png", user_id)


async def test_the_same_picture_of_two_users_is_two_attachments(fixture: RecordsFixture) -> None:
    one, other = await fixture.member(), await fixture.member()
    ids = [await fixture.records.add_reference(reference(user_id)) for user_id in (one, other, None, None)]
    assert ids[2] == ids[3]
    assert len(set(ids)) == 3


async def test_many_references_are_looked_up_at_once(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    attach_id = await fixture.records.add_reference(reference(user_id))
    assert set(await fixture.records.reference_owners(range(attach_id, attach_id + 2_000))) == {attach_id}
    assert dict(await fixture.records.reference_owners([])) == {}


async def test_rows_from_before_darkroom_are_references_without_an_owner(fixture: RecordsFixture) -> None:
    await fixture.tables.plant(
        "insert into quel_attach (attach_id, attach_file_name, attach_file_path, attach_file_size, attach_file_type,"
        " attach_directory, attach_storage_type, created_at)"
        " values (2109, 'old.png', 'old/old.png', 5, 'image/png', 'old', 'supabase', '2024-01-01T00:00:00+00:00')"
    )
    owners = await fixture.records.reference_owners([2109])
    assert owners[2109].user_id is None


async def test_a_picture_that_is_not_delivered_is_shown_nowhere(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    attach_id = await job.make(0)
    assert dict(await fixture.records.reference_owners([attach_id])) == {}
    assert await fixture.records.stored_file(attach_id) is None
    assert list(await fixture.records.delivered_images(job.job_id, 0, 10)) == []
    assert list(await fixture.records.delivered_images(None, 0, 10)) == []
    await job.settle(0)
    assert set(await fixture.records.reference_owners([attach_id])) == {attach_id}
    assert await fixture.records.stored_file(attach_id) is not None


async def test_delivered_images_are_paged_by_their_ids(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job, other = await fixture.opened(user_id, (2, 2)), await fixture.opened(user_id, (1,))
    ids = await job.deliver([0, 1], 1) + await job.deliver([0])
    others = await other.deliver([0])
    page = await fixture.records.delivered_images(job.job_id, 0, 2)
    assert [image.attach_id for image in page] == ids[:2]
    rest = await fixture.records.delivered_images(job.job_id, page[-1].attach_id, 2)
    assert [(image.attach_id, image.stage_index, image.ordinal) for image in rest] == [(ids[2], 0, 0)]
    assert rest[0].path == job.key(0).final(user_id)
    assert (rest[0].size, rest[0].job_id) == (1000, job.job_id)
    assert [image.attach_id for image in await fixture.records.delivered_images(None, 0, 10)] == ids + others
