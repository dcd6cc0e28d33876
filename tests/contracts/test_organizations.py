"""An organization pays for a member's job, and only it (spec §4)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from darkroom.domain.errors import NotPossibleNow
from darkroom.domain.images import Settlement
from darkroom.domain.jobs import End
from darkroom.domain.money import Transaction
from darkroom.domain.progress import JobStatus
from darkroom.domain.wallets import PaidBy
from tests.support.records.fixture import RecordsFixture
from tests.support.records.groups import attach_group, settle_group
from tests.support.records.organizations import (
    organization,
    organization_account,
    set_membership,
    set_organization,
    spend_of_organization,
)


async def both(fixture: RecordsFixture, balance: int = 1_000) -> tuple[UUID, UUID]:
    """A member with 500 credits of their own, and an organization of theirs."""
    user_id = await fixture.member(500)
    return user_id, await organization(fixture, balance, [user_id])


async def funds(fixture: RecordsFixture, user_id: UUID, org_id: UUID) -> tuple[tuple[int, int], tuple[int, int]]:
    """Balance and holds of the member, then of the organization."""
    own, shared = await fixture.account(user_id), await organization_account(fixture, org_id)
    return (own.balance, own.held), (shared.balance, shared.held)


async def test_an_organization_is_charged_for_what_is_delivered_and_the_member_is_not(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture)
    job = await fixture.opened(user_id, (3,), org_id=org_id)
    assert await funds(fixture, user_id, org_id) == ((500, 0), (1_000, 60))
    await job.deliver([0, 1])
    assert await funds(fixture, user_id, org_id) == ((500, 0), (960, 20))
    receipt = await job.close(End.CANCELLED)
    assert (receipt.total.charged, receipt.total.released) == (40, 20)
    assert await funds(fixture, user_id, org_id) == ((500, 0), (960, 0))
    assert (await job.row()).org_id == org_id


async def test_the_journal_of_an_organization_says_whose_job_it_paid(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture)
    production_id = await fixture.production(user_id)
    job = await fixture.opened(user_id, (2,), org_id=org_id, production_id=production_id)
    ids = await job.deliver([0, 1])
    assert list(await fixture.records.journal(user_id, 10)) == []
    newest, first = await fixture.records.organization_journal(org_id, 10)
    assert (newest.attach_id, first.attach_id) == (ids[1], ids[0])
    assert (newest.transaction_type, newest.amount, newest.balance_after) == (Transaction.DEDUCT, -20, 960)
    assert (newest.org_id, newest.used_by_member_id, newest.production_id) == (org_id, user_id, production_id)
    assert newest.idempotency_key == f"{job.job_id}/0/1"
    assert len(await fixture.records.organization_journal(org_id, 1)) == 1


async def test_a_members_own_rows_stay_apart_from_those_of_their_organization(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture)
    await (await fixture.opened(user_id, (1,), org_id=org_id)).deliver([0])
    await (await fixture.opened(user_id, (1,))).deliver([0])
    [own] = await fixture.records.journal(user_id, 10)
    assert (own.balance_after, own.org_id, own.used_by_member_id) == (480, None, None)
    assert await funds(fixture, user_id, org_id) == ((480, 0), (980, 0))


async def test_holds_are_of_the_wallet_that_pays(fixture: RecordsFixture) -> None:
    one, other = await fixture.member(60), await fixture.member(60)
    org_id = await organization(fixture, 100, [one, other])
    await fixture.opened(one, (3,), org_id=org_id)
    await fixture.opened(one, (3,))
    failed = await fixture.pending(other, (3,), org_id=org_id)
    assert (await failed.open()).failure == "insufficient credits: need 60, available 40"
    await fixture.opened(other, (2,), org_id=org_id)
    assert [(await fixture.account(user)).held for user in (one, other)] == [60, 0]
    assert (await organization_account(fixture, org_id)).held == 100


async def test_a_member_never_pays_where_the_organization_cannot(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture, balance=59)
    job = await fixture.pending(user_id, (3,), org_id=org_id)
    opened = await job.open()
    assert opened.failure == "insufficient credits: need 60, available 59"
    await job.make(0)
    assert (await job.settle(0)).settlement is Settlement.INSUFFICIENT
    await job.close(End.FAILED, error=opened.failure)
    assert await funds(fixture, user_id, org_id) == ((500, 0), (59, 0))


def suspended(org_id: UUID, status: str = "suspended") -> str:
    return f"organization {org_id} is {status} and cannot pay; ask its owner to reactivate it"


def no_member(user_id: UUID, org_id: UUID, status: str | None = None) -> str:
    known = f" (status: {status})" if status else ""
    return (
        f"user {user_id} is not an active member of organization {org_id}{known}; "
        "ask an admin of the organization to add the user"
    )


@pytest.mark.parametrize("status", ["pending", "inactive", "suspended", "deleted"])
async def test_only_an_active_organization_opens_a_job(fixture: RecordsFixture, status: str) -> None:
    user_id, org_id = await both(fixture)
    job = await fixture.pending(user_id, (3,), org_id=org_id)
    await set_organization(fixture, org_id, status)
    opened = await job.open()
    assert opened.failure == suspended(org_id, status)
    receipt = await job.close(End.FAILED, error=opened.failure)
    assert (receipt.total.charged, receipt.error_message) == (0, opened.failure)
    assert await funds(fixture, user_id, org_id) == ((500, 0), (1_000, 0))


@pytest.mark.parametrize("status", ["left", "banned"])
async def test_who_is_no_member_any_more_opens_no_job(fixture: RecordsFixture, status: str) -> None:
    user_id, org_id = await both(fixture)
    job = await fixture.pending(user_id, (3,), org_id=org_id)
    await set_membership(fixture, org_id, user_id, status)
    opened = await job.open()
    assert opened.failure == no_member(user_id, org_id, status)
    await job.close(End.FAILED, error=opened.failure)
    assert await funds(fixture, user_id, org_id) == ((500, 0), (1_000, 0))


async def test_who_never_was_a_member_learns_nothing_of_an_organization(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(500)
    org_id = await organization(fixture, 1_000)
    await set_organization(fixture, org_id, "suspended")
    job = await fixture.pending(user_id, (3,), org_id=org_id)
    opened = await job.open()
    assert opened.failure == no_member(user_id, org_id)
    await job.close(End.FAILED, error=opened.failure)
    for one in (org_id, uuid4()):
        assert await fixture.records.membership(one, user_id) is None
    assert (await fixture.account(user_id)).balance == 500


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in a group"])
@pytest.mark.parametrize("cause", ["suspended", "left", "banned"])
async def test_an_organization_that_stops_paying_in_the_middle_is_charged_nothing_more(
    fixture: RecordsFixture, cause: str, grouped: bool
) -> None:
    user_id, org_id = await both(fixture)
    job = await fixture.opened(user_id, (4,), org_id=org_id)
    await job.deliver([0])
    await attach_group(job, [1, 2, 3])
    if cause == "suspended":
        await set_organization(fixture, org_id, cause)
        reason = suspended(org_id)
    else:
        await set_membership(fixture, org_id, user_id, cause)
        reason = no_member(user_id, org_id, cause)
    if grouped:
        settled = await settle_group(job, [0, 1, 2])
        assert settled[0].settlement is Settlement.SETTLED
        refused = settled[1:]
    else:
        refused = [await job.settle(1), await job.settle(2)]
    assert [(one.settlement, one.reason) for one in refused] == [(Settlement.INSUFFICIENT, reason)] * 2
    assert await funds(fixture, user_id, org_id) == ((500, 0), (980, 60))
    await job.close(End.FAILED, error=reason)
    row = await job.row()
    assert (row.status, row.error_message, row.completed_images) == (JobStatus.FAILED, reason, 1)
    assert await funds(fixture, user_id, org_id) == ((500, 0), (980, 0))
    # Restored, a restart takes what is paid for by the organization, and by nobody else.
    assert (await job.open(job.named(2), restart=True)).failure == reason
    await job.close(End.FAILED, error=reason)
    await set_organization(fixture, org_id, "active")
    await set_membership(fixture, org_id, user_id, "active")
    assert (await job.open(job.named(3), restart=True)).failure is None
    assert await funds(fixture, user_id, org_id) == ((500, 0), (980, 60))


async def test_half_a_balance_settles_the_first_of_a_group_in_order(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture, balance=100)
    job = await fixture.opened(user_id, (5,), org_id=org_id)
    await attach_group(job, [4, 3, 2, 1, 0])
    await spend_of_organization(fixture, org_id, 55)
    settled = await settle_group(job, [4, 3, 2, 1, 0])
    assert [one.settlement for one in settled] == [Settlement.SETTLED] * 2 + [Settlement.INSUFFICIENT] * 3
    assert settled[2].reason == "insufficient credits: need 20, balance 5"
    assert await funds(fixture, user_id, org_id) == ((500, 0), (5, 60))


async def test_who_pays_is_fixed_when_the_job_first_opens(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture)
    job = await fixture.opened(user_id, (2,), org_id=org_id)
    change = "update quel_production_jobs set org_id = :org where job_id = :job"
    await fixture.tables.plant(change, org=None, job=str(job.job_id))
    await job.deliver([0])
    await job.close(End.CANCELLED)
    assert (await job.open(job.named(2), restart=True)).failure is None
    assert await funds(fixture, user_id, org_id) == ((500, 0), (980, 20))
    await fixture.tables.plant(change, org=str(org_id), job=str(job.job_id))


async def test_who_watches_a_job_and_its_receipt_learn_who_pays(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture)
    for payer, paid_by in ((org_id, PaidBy(org_id=org_id, name="Acme")), (None, None)):
        job = await fixture.pending(user_id, (2,), org_id=payer)
        await job.open()
        await job.deliver([0])
        snapshot = await fixture.records.snapshot(job.job_id, None, 10)
        assert snapshot is not None
        assert (snapshot.paid_by, snapshot.spent, snapshot.held) == (paid_by, 20, 20)
        receipt = await job.close(End.CANCELLED)
        assert (receipt.org_id, receipt.total.charged) == (payer, 20)
        assert ("org_id" in receipt.model_dump_json()) == (payer is not None)


async def test_statistics_count_what_organizations_paid(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture)
    for payer in (org_id, None):
        await (await fixture.opened(user_id, (2,), org_id=payer)).deliver([0, 1])
    found = await fixture.records.statistics(datetime.now(UTC).date() - timedelta(days=1))
    assert sum(day.credits for day in found.providers) == 80


async def test_a_grant_to_an_organization_counts_once_per_key(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture, balance=10)
    for _ in range(2):
        account = await fixture.records.grant_organization(org_id, 90, f"invoice-{org_id}")
        assert (account.balance, account.available, account.name, account.status) == (100, 100, "Acme", "active")
    [row] = await fixture.records.organization_journal(org_id, 10)
    assert row.transaction_type == await fixture.tables.word("transaction_type", Transaction.GRANT)
    assert (row.amount, row.balance_after, row.org_id) == (90, 100, org_id)
    assert row.used_by_member_id is None
    assert list(await fixture.records.journal(user_id, 10)) == []


async def test_an_organization_that_does_not_exist_gets_no_credits(fixture: RecordsFixture) -> None:
    org_id = uuid4()
    with pytest.raises(NotPossibleNow, match=f"organization {org_id} does not exist"):
        await fixture.records.grant_organization(org_id, 5, "a gift")
    assert await fixture.records.organization(org_id) is None
    assert list(await fixture.records.organization_journal(org_id, 5)) == []


async def test_a_user_finds_the_organizations_that_they_are_an_active_member_of(fixture: RecordsFixture) -> None:
    user_id, org_id = await both(fixture)
    left = await organization(fixture, 5, [user_id])
    await organization(fixture, 7)
    await set_membership(fixture, left, user_id, "left")
    await set_organization(fixture, org_id, "suspended")
    [found] = await fixture.records.organizations(user_id)
    assert (found.org_id, found.status, found.balance) == (org_id, "suspended", 1_000)
    assert [await fixture.records.membership(one, user_id) for one in (org_id, left)] == ["active", "left"]


async def test_audit_finds_money_that_went_the_wrong_way(planted: RecordsFixture) -> None:
    user_id, org_id = await both(planted)
    job = await planted.opened(user_id, (1,), org_id=org_id)
    [attach_id] = await job.deliver([0])
    await planted.tables.plant("update quel_organization set org_credit = 7")
    await planted.tables.plant("update quel_credits set org_id = null")
    assert sorted(await planted.records.audit()) == sorted(
        [
            f"organization {org_id}: balance 7 is not opening balance + journal = 1000",
            f"member {user_id}: balance 500 is not opening balance + journal = 480",
            f"job {job.job_id}: organization {org_id} is to pay, but attachment {attach_id} was charged to "
            f"member {user_id}",
        ]
    )
