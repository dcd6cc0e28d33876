"""`audit` finds each broken invariant of spec §4, and nothing in records that are whole."""

import pytest

from darkroom.domain.jobs import End
from darkroom.proof.invariants import broken
from tests.support.records.fixture import Job, RecordsFixture


async def ended_job(fixture: RecordsFixture) -> Job:
    job = await fixture.opened(await fixture.member(), (3,))
    await job.deliver([0, 1])
    await job.close(End.CANCELLED)
    assert list(await fixture.records.audit()) == []
    return job


async def test_whole_records_have_nothing_to_report(fixture: RecordsFixture) -> None:
    await fixture.pending(await fixture.member())
    running = await fixture.opened(await fixture.member())
    await running.deliver([0])
    await running.make(1)
    free = await fixture.opened(None)
    await free.deliver([0])
    await ended_job(fixture)
    assert list(await fixture.records.audit()) == []


@pytest.mark.parametrize(
    "corruption",
    [
        pytest.param("delete from quel_credits where idempotency_key like '%/0/1'", id="delivered, not charged"),
        pytest.param("update quel_attach set delivered_at = null where ordinal = 1", id="charged, not delivered"),
        pytest.param("update quel_production_jobs set completed_images = 1", id="count without its ids"),
        pytest.param(
            "update quel_production_jobs set completed_images = 1, generated_attach_ids = '[1]'",
            id="ended job trails what it delivered",
        ),
        pytest.param("update quel_production_jobs set generated_attach_ids = '[1, 99]'", id="an id of no image"),
        pytest.param("update quel_production_jobs set generated_attach_ids = '[1, 1]'", id="an id listed twice"),
        pytest.param("update quel_member set quel_member_credit = quel_member_credit + 1", id="balance off"),
        pytest.param(
            "update quel_member set quel_member_credit = -40, opening_balance = 0", id="balance below 0, journal agrees"
        ),
        pytest.param("update quel_credits set attach_idx = 1", id="one attachment charged twice"),
        pytest.param("update quel_credit_holds set released_at = null", id="open hold of an ended job"),
        pytest.param("update quel_credit_holds set released_at = null, amount = 20", id="open hold with credits"),
        pytest.param("update quel_credits set amount = -10 where idempotency_key like '%/0/1'", id="amount off"),
    ],
)
async def test_a_planted_corruption_is_found(planted: RecordsFixture, corruption: str) -> None:
    await ended_job(planted)
    await planted.tables.plant(corruption)
    assert broken(await planted.dump()) != []
    found = list(await planted.records.audit())
    assert found
    assert all(isinstance(line, str) and line for line in found)


async def test_what_is_found_names_the_job_or_the_member(planted: RecordsFixture) -> None:
    job = await ended_job(planted)
    await planted.tables.plant("update quel_attach set delivered_at = null where ordinal = 1")
    found = " ".join(await planted.records.audit())
    assert str(job.job_id) in found
