"""The application over the database of a deployment that ran before, beside the rows that are in it."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from darkroom.domain.errors import NotPossibleNow
from darkroom.domain.jobs import End
from darkroom.domain.money import Transaction
from darkroom.domain.orders import JobType
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import StageEnd
from darkroom.domain.rounds import StageStatus
from darkroom.domain.snapshots import DeliveryMark, JobCursor, JobSummary, Picture
from darkroom.domain.stored import NewReference
from darkroom.proof.invariants import broken
from darkroom.proof.tables import Dump
from darkroom.records.paging import delivered_pages
from darkroom.records.supabase import SupabaseRecords
from tests.support.records.fixture import PRICE, Job, RecordsFixture
from tests.support.records.tables import PostgresTables
from tests.support.supabase import rows
from tests.support.supabase.catalogs import BEFORE
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project, run_file, running_project


def member(number: int) -> UUID:
    return UUID(f"00000000-0000-0000-0000-{number:012}")


def production(number: int) -> UUID:
    return UUID(f"00000000-0000-0000-0001-{number:012}")


def job(number: int) -> UUID:
    """Of `number % 6`: 1 failed, 2 pending, 3 processing, 4 and 5 cancelled, in two words, 0 completed."""
    return UUID(f"00000000-0000-0000-0002-{number:012}")


def bare(number: int) -> UUID:
    """A row with hardly a value: 1 completed, 2 failed, 3 pending, 4 without a status."""
    return UUID(f"00000000-0000-0000-0003-{number:012}")


FAILED, PENDING, PROCESSING, CANCELLED, USER_CANCELLED, SHORT = range(1, 7)
OWNER = member(1 + SHORT)


@pytest.fixture(scope="module", params=[*BEFORE])
def adopted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with running_project(tmp_path_factory.mktemp("adopted")) as project:
        with project.connect() as db:
            for file in BEFORE[request.param]:
                run_file(db, file)
        project.migrate()
        with project.connect() as db:
            rows.keep(db)
        yield project


@pytest.fixture
async def fixture(adopted: Project) -> AsyncIterator[RecordsFixture]:
    with adopted.connect() as db:
        rows.put_back(db)
    records = SupabaseRecords(await open_project(adopted))
    yield RecordsFixture(records, PostgresTables(adopted.database_uri))
    await records.close()


def only(dump: Dump, job_id: UUID) -> Dump:
    """The part of the tables that a job made, and its member's money: what is older keeps no such rules."""
    whole = {table: list(rows) for table, rows in dump.items()}
    whole["quel_production_jobs"] = [row for row in whole["quel_production_jobs"] if row["job_id"] == str(job_id)]
    [payer] = {row["quel_member_id"] for row in whole["quel_production_jobs"]}
    whole["quel_member"] = [row for row in whole["quel_member"] if row["quel_member_id"] == payer]
    whole["quel_credits"] = [row for row in whole["quel_credits"] if row["idempotency_key"]]
    whole["quel_organization"] = []
    for row in whole["quel_member"]:
        row["opening_balance"] = 500
    return whole


async def test_old_jobs_are_shown_as_they_ended(fixture: RecordsFixture) -> None:
    short = await fixture.records.job(job(SHORT))
    assert short is not None
    assert (short.status, short.total_images, short.completed_images) == (JobStatus.COMPLETED, 150, 147)
    assert short.generated_attach_ids == tuple(range(1, 148))
    progress = await fixture.records.progress(job(SHORT))
    assert progress is not None
    assert (progress.completed_images, progress.failed_images) == (147, 3)
    [stage] = progress.stages
    assert (stage.quantity, stage.completed, stage.status) == (150, 147, StageStatus.SHORT)
    assert stage.attach_ids == tuple(range(1, 148))
    assert await fixture.records.receipt(job(SHORT)) is None
    failed = await fixture.records.job(job(FAILED))
    assert failed is not None
    assert failed.error_message == "context deadline exceeded"


async def test_old_rows_may_lack_every_value(fixture: RecordsFixture) -> None:
    for number, status in ((1, JobStatus.COMPLETED), (2, JobStatus.FAILED), (3, JobStatus.PENDING)):
        row, progress = await fixture.records.job(bare(number)), await fixture.records.progress(bare(number))
        assert row is not None
        assert progress is not None
        assert row.status is progress.status is status
        assert (row.completed_images, row.generated_attach_ids, progress.generated_attach_ids) == (0, (), ())


async def test_rows_without_a_state_are_shown_nowhere(fixture: RecordsFixture) -> None:
    assert await fixture.records.job(bare(4)) is None
    assert await fixture.records.progress(bare(4)) is None
    assert await fixture.records.jobs_beginning(str(bare(4)), 2) == []
    listed = await fixture.records.jobs(None, 1_000)
    assert len(listed) == 243
    assert len(await fixture.records.jobs(JobStatus.COMPLETED, 1_000)) == 41
    assert [row.job_id for row in await fixture.records.jobs_beginning(str(job(SHORT))[:-1], 20)] != []
    times = [row.created_at for row in listed]
    assert times == sorted(times, reverse=True)


async def test_cancelled_is_cancelled_in_whatever_word(fixture: RecordsFixture) -> None:
    for job_id in (job(CANCELLED), job(USER_CANCELLED)):
        row, progress = await fixture.records.job(job_id), await fixture.records.progress(job_id)
        assert row is not None
        assert progress is not None
        assert row.status is progress.status is JobStatus.CANCELLED
    assert len(await fixture.records.jobs(JobStatus.CANCELLED, 1_000)) == 80
    pages = await fixture.records.job_page(1_000, statuses=(JobStatus.CANCELLED,))
    assert len(pages) == 80
    assert {line.status for line in pages} == {JobStatus.CANCELLED}


async def test_pages_show_every_old_job_once_those_without_a_time_last(fixture: RecordsFixture) -> None:
    # What is shown as its time says nothing about where a row without one stands.
    await fixture.tables.plant(
        "update quel_production_jobs set started_at = '2030-01-01' where job_id = :job", job=str(bare(2))
    )
    seen: list[JobSummary] = []
    while page := await fixture.records.job_page(
        101, before=JobCursor(created_at=seen[-1].created_at, job_id=seen[-1].job_id) if seen else None
    ):
        seen += page
    listed = [row.job_id for row in await fixture.records.jobs(None, 1_000)]
    assert sorted(line.job_id for line in seen) == sorted(listed)
    assert [line.job_id for line in seen[-3:]] == [bare(3), bare(2), bare(1)]
    assert [(line.created_at.year, line.completed_images) for line in seen[-3:]] == [(1970, 0), (2030, 0), (1970, 0)]
    [short] = [line for line in seen if line.job_id == job(SHORT)]
    assert (short.title, short.first_attach_ids, short.completed_images) == (None, (1, 2, 3, 4, 5, 6), 147)
    assert {line.first_attach_ids for line in seen[-3:]} == {()}


async def test_old_jobs_can_be_looked_at_and_cost_nothing_that_darkroom_knows_of(fixture: RecordsFixture) -> None:
    for job_id, completed in ((job(SHORT), 147), (bare(1), 0)):
        found = await fixture.records.snapshot(job_id, None, 10)
        assert found is not None
        assert (found.progress.completed_images, found.progress.generated_attach_ids) == (completed, None)
        assert (found.unit_price, found.spent, found.held) == (None, 0, 0)
        assert (len(found.progress.stages), len(found.pictures)) == ((1, 10) if completed else (0, 0))
        assert found.undelivered == ()
        assert list(await fixture.records.stages(job_id)) == []
    assert await fixture.records.snapshot(bare(4), None, 10) is None


async def test_lists_are_of_several_states_in_whatever_word(fixture: RecordsFixture) -> None:
    page = await fixture.records.job_page(1_000, statuses=(JobStatus.CANCELLED, JobStatus.FAILED))
    assert Counter(line.status for line in page) == {JobStatus.CANCELLED: 80, JobStatus.FAILED: 41}
    assert await fixture.records.cancelled_rows() == []


async def test_jobs_of_before_are_not_waiting_and_new_ones_are(fixture: RecordsFixture) -> None:
    assert await fixture.records.unfinished_jobs() == []
    pending = await fixture.pending(member(1))
    opened = await fixture.opened(member(2), (1,))
    waiting = await fixture.records.unfinished_jobs()
    assert [row.job_id for row in waiting] == [pending.job_id, opened.job_id]


async def test_a_new_job_of_an_old_member_runs_to_its_end(fixture: RecordsFixture) -> None:
    new = await fixture.opened(member(1), (2, 1), production_id=production(3))
    await new.deliver([0, 1])
    await new.deliver([0], 1)
    receipt = await new.close()
    assert (receipt.status, receipt.delivered, receipt.total.charged) == (JobStatus.COMPLETED, 3, 3 * PRICE)
    dump = await fixture.dump()
    assert broken(only(dump, new.job_id)) == []
    assert await fixture.records.audit() == []
    [made] = [row for row in dump["quel_production_photo"] if row["production_id"] == str(production(3))]
    assert made["attach_ids"] == [1, 2, 3, 301, 302, 303]
    assert (made["generated_image_count"], made["production_status"]) == (6, "completed")


@pytest.mark.parametrize("number", [1, 2], ids=["attach_ids null", "attach_ids a JSON null"])
async def test_an_old_production_without_ids_gets_its_first(fixture: RecordsFixture, number: int) -> None:
    new = await fixture.opened(member(1), (1,), production_id=production(number))
    [attach_id] = await new.deliver([0])
    await new.close()
    rows = (await fixture.dump())["quel_production_photo"]
    [made] = [row for row in rows if row["production_id"] == str(production(number))]
    assert (made["attach_ids"], made["generated_image_count"]) == ([attach_id], 1)


async def test_an_old_member_without_a_number_has_nothing_and_can_be_given_credits(fixture: RecordsFixture) -> None:
    account = await fixture.account(member(20))
    assert (account.balance, account.held) == (0, 0)
    assert (await (await fixture.pending(member(20))).open()).failure == "insufficient credits: need 60, available 0"
    await fixture.records.grant(member(20), 100, "first")
    assert (await fixture.account(member(20))).balance == 100
    assert await fixture.records.audit() == []


async def test_the_old_journal_is_shown(fixture: RecordsFixture) -> None:
    rows = await fixture.records.journal(member(2), 100)
    assert {row.transaction_type for row in rows} == {"purchase", Transaction.DEDUCT, "refund"}
    assert [row.created_at for row in rows] == sorted((row.created_at for row in rows), reverse=True)


async def test_old_pictures_belong_to_the_member_of_the_oldest_row_that_lists_them(fixture: RecordsFixture) -> None:
    owners = await fixture.records.reference_owners([1, 147, 148, 300, 301])
    found = {attach_id: owner.user_id for attach_id, owner in owners.items()}
    assert found == {1: OWNER, 147: OWNER, 148: None, 300: None}
    files = [await fixture.records.stored_file(number) for number in (1, 10, 148)]
    assert [file and file.user_id for file in files] == [OWNER, OWNER, None]


async def test_pictures_of_old_jobs_are_shown_like_delivered_ones(fixture: RecordsFixture) -> None:
    seen: list[Picture] = []
    mark: DeliveryMark | None = None
    while (found := await fixture.records.snapshot(job(SHORT), mark, 50)) and found.pictures:
        seen += found.pictures
        mark = DeliveryMark(delivered_at=seen[-1].delivered_at, attach_id=seen[-1].attach_id)
    assert [(one.stage_index, one.ordinal, one.attach_id) for one in seen] == [(0, n, n + 1) for n in range(147)]
    assert seen[9].path == "generated-images/user-x/generated_10.webp"
    pages = [image async for page in delivered_pages(fixture.records, job(SHORT)) for image in page]
    assert [(image.ordinal, image.attach_id, image.path) for image in pages] == [
        (one.ordinal, one.attach_id, one.path) for one in seen
    ]
    assert await fixture.records.delivered_images(None, 0, 100) == []
    # Another row lists them as well: they are not its own.
    other = await fixture.records.snapshot(job(12), None, 50)
    assert other is not None
    assert (other.progress.completed_images, other.pictures) == (147, ())
    previews = {line.job_id: line.first_attach_ids for line in await fixture.records.job_page(1_000)}
    assert (previews[job(SHORT)], previews[job(12)]) == ((1, 2, 3, 4, 5, 6), ())


NOTED = "select attach_id::int, quel_member_id from quel_earlier_pictures where job_id = %s order by place"


async def test_what_the_old_worker_still_makes_belongs_to_the_member_of_its_row(
    adopted: Project, fixture: RecordsFixture
) -> None:
    write = "update quel_production_jobs set generated_attach_ids = %s where job_id = %s"
    with adopted.connect() as db:
        db.execute("set role service_role")
        for ids in ("[200]", "[200, 201]", '[200, 201, 1, "203", null, {}, 99999, 1e30, "x"]', "{}", "null", None):
            db.execute(write, (ids, job(PROCESSING)))
        noted = [(200, member(1 + PROCESSING)), (201, member(1 + PROCESSING)), (203, member(1 + PROCESSING))]
        assert db.execute(NOTED, (job(PROCESSING),)).fetchall() == noted
        # Who deletes a production or a picture is not stopped.
        db.execute("delete from quel_attach where attach_id = 203")
        db.execute("delete from quel_production_jobs where job_id = %s", (job(PROCESSING),))
        assert db.execute(NOTED, (job(PROCESSING),)).fetchall() == []


async def test_what_users_write_into_a_row_makes_no_picture_theirs(adopted: Project, fixture: RecordsFixture) -> None:
    thief, row = member(1 + PROCESSING), job(PROCESSING)
    claim = "update quel_production_jobs set generated_attach_ids = '[1, 200]' where job_id = %s"
    with adopted.connect() as db:
        with db.transaction():
            db.execute("set local role authenticated")
            db.execute("select set_config('request.jwt.claims', %s, true)", (f'{{"sub": "{thief}"}}',))
            assert db.execute(claim, (row,)).rowcount == 1
        # The old worker reads the list, adds to it and writes it back.
        db.execute("set role service_role")
        db.execute("update quel_production_jobs set generated_attach_ids = '[1, 200, 201]' where job_id = %s", (row,))
        assert db.execute(NOTED, (row,)).fetchall() == [(201, thief)]
    owners = await fixture.records.reference_owners([1, 200])
    assert {attach_id: owner.user_id for attach_id, owner in owners.items()} == {1: OWNER, 200: None}
    [line] = [line for line in await fixture.records.job_page(1_000) if line.job_id == row]
    assert line.first_attach_ids == (201,)


async def test_old_pictures_without_a_type_or_a_path_are_read_all_the_same(fixture: RecordsFixture) -> None:
    without_type = await fixture.records.stored_file(5)
    assert without_type is not None
    assert without_type.media_type == "image/webp"
    for number in (10, 20):
        in_directory = await fixture.records.stored_file(number)
        assert in_directory is not None
        assert in_directory.path == f"generated-images/user-x/generated_{number}.webp"
    await fixture.tables.plant(
        "update quel_attach set attach_file_path = null, attach_directory = null where attach_id = 5"
    )
    assert await fixture.records.stored_file(5) is None
    uploaded = await fixture.records.add_reference(
        NewReference(user_id=member(1), original_name="a", path="a", size=1, media_type="image/png", sha256="ab" * 32)
    )
    assert uploaded == 301


@pytest.mark.parametrize("number", [SHORT, 12, 240])
async def test_a_restart_does_not_forget_the_pictures_of_before(fixture: RecordsFixture, number: int) -> None:
    """147 of 150 were made by another system: nobody knows which, and the row must keep them."""
    before = await fixture.records.job(job(number))
    old = fixture.job(member(1), (150,))
    old.job_id = job(number)
    opened = await old.open(old.named(1), restart=True)
    assert opened.superseded == "the job has images of before Darkroom; order what is missing as a new job"
    assert await fixture.records.job(job(number)) == before


@pytest.mark.parametrize("job_id", [job(FAILED), job(CANCELLED), bare(2)])
async def test_an_old_job_that_made_nothing_can_be_restarted(fixture: RecordsFixture, job_id: UUID) -> None:
    payer = (await fixture.records.order_source(job_id)).user_id or member(3)
    old = fixture.job(payer, (1,))
    old.job_id = job_id
    opened = await old.open(old.named(1), restart=True)
    assert (opened.superseded, opened.failure) == (None, None)
    await old.deliver([0])
    assert (await old.close()).status is JobStatus.COMPLETED
    assert await fixture.records.audit() == []


async def test_an_invalid_row_of_a_front_end_ends_failed_with_the_message(
    adopted: Project, fixture: RecordsFixture
) -> None:
    with psycopg.connect(adopted.database_uri, autocommit=True) as db:
        row = db.execute(
            "insert into quel_production_jobs (production_id, job_type, batch_index, job_status, total_images,"
            " quel_member_id, job_input_data) values (%s, 'simple_general', 0, 'pending', 3, %s, '[]')"
            " returning job_id",
            (production(4), member(4)),
        ).fetchone()
    assert row is not None
    new = fixture.job(member(4))
    new.job_id = row[0]
    new.run = new.named(1)
    opened = await new.open(rejection="document: must be an object with keys")
    receipt = await new.close(
        End.FAILED, error=opened.failure, stages=(StageEnd(stage_index=0, status=StageStatus.SHORT),)
    )
    assert (receipt.status, receipt.ordered, receipt.delivered) == (JobStatus.FAILED, 3, 0)
    assert (await new.row()).error_message == "document: must be an object with keys"


@pytest.mark.parametrize("job_type", list(JobType))
async def test_every_kind_of_order_is_stored_in_the_shape_that_the_table_asks_for(
    adopted: Project, fixture: RecordsFixture, job_type: JobType
) -> None:
    """Its place in a stage or a batch, a production where one is needed, its type beside a check that excludes it."""
    order = fixture.job(member(1), (1,)).order.model_copy(update={"job_type": job_type})
    new = Job(fixture.records, order)
    assert await new.create()
    assert not await new.create()
    assert (await new.open()).failure is None
    row = await new.row()
    assert (row.job_type, (await fixture.records.order_source(new.job_id)).job_type) == (job_type, job_type)
    with adopted.connect() as db:
        made = db.execute(
            "select job_type, production.quel_member_id from quel_production_jobs as job"
            " join quel_production_photo as production using (production_id) where job_id = %s",
            (new.job_id,),
        ).fetchone()
    known = ("pipeline_stage", "single_batch", "simple_general", "simple_portrait")
    kept = job_type if job_type in known else "pipeline_stage"
    assert made == (kept, member(1))
    await new.deliver([0])
    assert (await new.close()).job_type == job_type


async def test_a_member_that_darkroom_cannot_make_is_refused_with_the_column(fixture: RecordsFixture) -> None:
    with pytest.raises(NotPossibleNow, match=r"^quel_member\.quel_email must have a value") as refused:
        await fixture.records.grant(uuid4(), 100, "first")
    assert "\n" not in str(refused.value)


async def test_a_deleted_production_takes_its_jobs_with_it(adopted: Project, fixture: RecordsFixture) -> None:
    """Front ends delete productions; what Darkroom knows of their jobs goes too, and no hold stays behind."""
    new = await fixture.opened(member(1), (2,), production_id=production(3))
    await new.deliver([0])
    with adopted.connect() as db:
        db.execute("delete from quel_production_photo where production_id = %s", (production(3),))
    assert await fixture.records.job(new.job_id) is None
    assert (await fixture.account(member(1))).held == 0
