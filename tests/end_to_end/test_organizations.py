"""An organization's job is exact whatever is killed in the middle of it, and ends in one line when it may not pay."""

from uuid import UUID, uuid4

import pytest

from darkroom.domain.progress import JobStatus
from darkroom.domain.wallets import OrganizationAccount
from darkroom.proof.invariants import broken
from tests.support.stacks.adapters import over_both_adapters
from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack
from tests.support.until import until

SHARED = 5_000
PICTURES = 40
OFFLINE = {
    "STAGE_CONCURRENCY": 8,
    "OFFLINE_LATENCY": "0.5-1",
    "OFFLINE_MISS_RATE": 0.08,
    "OFFLINE_SEED": 5,
    "TOP_UP_DELAY": 0.5,
}


def organization_of(darkroom: ProcessStack) -> UUID:
    """An active organization whose member the user is, as its front end inserts it."""
    org_id = uuid4()
    darkroom.records.plant(
        "insert into quel_organization (org_id, org_name, org_credit, owner_id, org_status, created_at) "
        f"values ('{org_id}', 'Acme', {SHARED}, '{darkroom.user}', 'active', '2026-11-01T00:00:00+00:00')"
    )
    darkroom.records.plant(
        "insert into quel_organization_member (id, org_id, member_id, role, status) "
        f"values ('{uuid4()}', '{org_id}', '{darkroom.user}', 'member', 'active')"
    )
    return org_id


async def account_of(darkroom: ProcessStack, org_id: UUID) -> OrganizationAccount:
    account = await darkroom.parts.records.organization(org_id)
    assert account is not None
    return account


async def job_in_the_middle(darkroom: ProcessStack, org_id: UUID) -> UUID:
    await darkroom.worker.start(OFFLINE)
    job_id = await darkroom.order(PICTURES // 2, PICTURES // 2, org_id=str(org_id))

    async def in_the_middle() -> bool:
        return len(darkroom.records.delivered(job_id)) >= 8 and len(darkroom.records.outcomes(job_id, None)) >= 4

    await until(in_the_middle, "the middle of the job")
    return job_id


async def check(darkroom: ProcessStack, org_id: UUID, delivered: int) -> None:
    """The organization is charged for what is delivered, the member for nothing, and nothing is held."""
    account = await account_of(darkroom, org_id)
    assert (account.balance, account.held) == (SHARED - PRICE * delivered, 0)
    assert await darkroom.balance() == OPENING_BALANCE
    assert await darkroom.parts.records.audit() == []
    assert broken(await darkroom.records.dump()) == []


@over_both_adapters
@pytest.mark.slow
async def test_kill_9_in_the_middle_of_an_organizations_settlements(darkroom: ProcessStack) -> None:
    org_id = organization_of(darkroom)
    job_id = await job_in_the_middle(darkroom, org_id)
    for _ in range(2):
        await darkroom.worker.kill()
        settled = len(darkroom.records.delivered(job_id))
        assert (await account_of(darkroom, org_id)).balance == SHARED - PRICE * settled
        await darkroom.worker.start(OFFLINE)

        async def goes_on(before: int = settled) -> bool:
            return len(darkroom.records.delivered(job_id)) > before

        await until(goes_on, "another delivery", 40)
    receipt = await darkroom.receipt(job_id, 90)
    assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, PICTURES)
    assert (receipt.org_id, receipt.total.charged) == (org_id, PRICE * PICTURES)
    await check(darkroom, org_id, PICTURES)


@over_both_adapters
@pytest.mark.slow
async def test_an_organization_that_is_suspended_in_the_middle_ends_the_job_and_a_restart_finishes_it(
    darkroom: ProcessStack,
) -> None:
    org_id = organization_of(darkroom)
    job_id = await job_in_the_middle(darkroom, org_id)
    darkroom.records.plant(f"update quel_organization set org_status = 'suspended' where org_id = '{org_id}'")
    settled = len(darkroom.records.delivered(job_id))
    await darkroom.worker.kill()
    await darkroom.worker.start(OFFLINE)
    receipt = await darkroom.receipt(job_id, 90)
    row = await darkroom.row(job_id)
    reason = f"organization {org_id} is suspended and cannot pay; ask its owner to reactivate it"
    assert (row.status, row.error_message) == (JobStatus.FAILED, reason)
    # What was being settled at the moment of the suspension may have been before it.
    assert settled <= receipt.delivered <= settled + 16
    await check(darkroom, org_id, receipt.delivered)
    darkroom.records.plant(f"update quel_organization set org_status = 'active' where org_id = '{org_id}'")
    assert (await darkroom.client.restart(job_id)).success
    await darkroom.until_row(job_id, lambda row: row.status is JobStatus.COMPLETED, "the end of the restart", 90)
    receipt = await darkroom.receipt(job_id)
    assert (receipt.delivered, receipt.total.charged) == (PICTURES, PRICE * PICTURES)
    await check(darkroom, org_id, PICTURES)
