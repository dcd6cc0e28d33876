"""Tables whose columns lack a word of ours: rows say the nearest one, and `doctor --database` tells which (spec §8)."""

from collections.abc import AsyncIterator

import pytest

from cli.adoption import examine_database
from darkroom.domain.jobs import End, Request
from darkroom.domain.progress import CANCELLED_WORDS, JobStatus
from darkroom.proof.invariants import broken
from darkroom.records.supabase import SupabaseRecords
from tests.support.records.fixture import Job, RecordsFixture
from tests.support.records.tables import PostgresTables
from tests.support.supabase.catalogs import BEFORE, database
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project, run_file

NO_CANCEL = """
alter table quel_production_jobs add constraint without_cancel
  check (job_status in ('pending', 'processing', 'completed', 'failed')) not valid;
alter table quel_production_photo add constraint without_cancel
  check (production_status in ('pending', 'processing', 'completed', 'failed')) not valid;
select darkroom_learn_words();
"""
PUT_BACK = """
alter table quel_production_jobs drop constraint without_cancel;
alter table quel_production_photo drop constraint without_cancel;
select darkroom_learn_words();
"""
WHY = "the job was cancelled"


@pytest.fixture(params=CANCELLED_WORDS)
async def without_cancel(request: pytest.FixtureRequest, described: Project) -> AsyncIterator[RecordsFixture]:
    described.reset()
    with described.connect() as db:
        db.execute(NO_CANCEL)
    records = SupabaseRecords(await open_project(described), cancelled=request.param)
    fixture = RecordsFixture(records, PostgresTables(described.database_uri), members_of_others=True)
    yield fixture
    assert broken(await fixture.dump()) == []
    assert list(await records.audit()) == []
    await records.close()
    described.reset()
    with described.connect() as db:
        db.execute(PUT_BACK)


async def said(fixture: RecordsFixture, job: Job) -> tuple[object, object]:
    [row] = [row for row in (await fixture.dump())["quel_production_jobs"] if row["job_id"] == str(job.job_id)]
    return row["job_status"], row["error_message"]


async def test_a_cancelled_job_says_failed_and_why_where_there_is_no_other_word(
    without_cancel: RecordsFixture,
) -> None:
    fixture = without_cancel
    member = await fixture.member()
    job = await fixture.opened(member, (3,), production_id=await fixture.production(member))
    [attach_id] = await job.deliver([0])
    await job.control(1, cancel_requested=True)
    receipt = await job.close(End.CANCELLED)
    assert (receipt.status, receipt.delivered) == (JobStatus.CANCELLED, 1)
    assert await job.close(End.CANCELLED) == receipt
    assert await said(fixture, job) == ("failed", WHY)
    [production] = (await fixture.dump())["quel_production_photo"]
    assert (production["production_status"], production["attach_ids"]) == ("pending", [attach_id])
    assert (await fixture.account(member)).held == 0
    assert (await job.open(job.named(2), restart=True)).superseded is None
    await job.deliver([1, 2])
    assert (await job.close(End.DELIVERED)).status is JobStatus.COMPLETED
    assert await said(fixture, job) == ("completed", None)


async def test_a_pending_job_that_is_cancelled_says_so_too(without_cancel: RecordsFixture) -> None:
    fixture = without_cancel
    job = await fixture.pending(await fixture.member())
    assert await fixture.records.cancel_pending(job.job_id, None)
    assert await said(fixture, job) == ("failed", WHY)
    assert not await fixture.records.cancel_pending(job.job_id, None)
    assert (await fixture.records.take_request(job.job_id, Request.CANCEL, None)).number is None
    assert (await job.open()).superseded is not None


async def test_what_failed_by_itself_says_its_own_reason(without_cancel: RecordsFixture) -> None:
    job = await without_cancel.opened(await without_cancel.member(), (1,))
    await job.close(End.FAILED, error="the key is wrong")
    assert await said(without_cancel, job) == ("failed", "the key is wrong")


@pytest.mark.parametrize(
    ("before", "change", "told"),
    [
        ("described", "", {}),
        (
            "variant",
            "",
            {
                "quel_production_photo.production_status": "takes neither cancelled nor user_cancelled: it stays as it"
                " is when a job is cancelled"
            },
        ),
        (
            "variant",
            "alter table quel_production_jobs drop constraint known_states, add check (job_status in"
            " ('pending', 'processing', 'completed', 'failed')) not valid; alter table quel_credits drop constraint"
            " known_transactions, add check (transaction_type in ('DEDUCT', 'refund')) not valid",
            {
                "quel_production_jobs.job_status": "takes neither cancelled nor user_cancelled: the row of a cancelled"
                " job says failed, and why",
                "quel_production_photo.production_status": "takes neither cancelled nor user_cancelled: it stays as it"
                " is when a job is cancelled",
                "quel_credits.transaction_type": "takes neither GRANT nor purchase: darkroom credits grant cannot be"
                " used",
            },
        ),
    ],
)
def test_doctor_tells_which_words_columns_lack(
    migrated: Project, before: str, change: str, told: dict[str, str]
) -> None:
    with database(migrated) as db:
        for file in BEFORE[before]:
            run_file(db, file)
        if change:
            db.execute(change.encode())
        findings = examine_database(migrated.postgres.uri(database=db.info.dbname))
    assert {finding.what: finding.told for finding in findings if "." in finding.what} == told
