"""Who is told of a job's end, and what of it: kept with the job, the same for ever for each of its runs."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from darkroom.domain.jobs import End
from darkroom.domain.progress import JobStatus
from darkroom.domain.webhooks import Ending, EventType, event_id, event_of
from tests.support.records.fixture import Job, RecordsFixture

URL = "https://shop.example/hooks?token=xyzzy"


async def ordered(fixture: RecordsFixture, url: str | None = URL, *, anonymous: bool = False) -> Job:
    """A pending job of three images whose order names a receiver."""
    user_id = None if anonymous else await fixture.member()
    job = fixture.job(user_id, production_id=await fixture.production(user_id))
    job.order = job.order.model_copy(update={"webhook_url": url})
    assert await job.create()
    return job


async def ending(fixture: RecordsFixture, job: Job, run: str | None) -> Ending:
    found = await fixture.records.ending(job.job_id, run)
    assert found is not None
    return found


async def test_a_run_is_told_whether_anybody_hears_of_its_end_and_not_who(fixture: RecordsFixture) -> None:
    for url in (URL, None):
        opened = await (await ordered(fixture, url)).open()
        assert opened.webhook is (url is not None)
        assert "xyzzy" not in opened.model_dump_json()


@pytest.mark.parametrize(
    ("end", "delivered", "event", "failed"),
    [
        (End.DELIVERED, 3, EventType.COMPLETED, 0),
        (End.DELIVERED, 2, EventType.COMPLETED, 1),
        (End.DELIVERED, 0, EventType.FAILED, 3),
        (End.FAILED, 1, EventType.FAILED, 2),
        (End.CANCELLED, 1, EventType.CANCELLED, 0),
    ],
)
async def test_the_end_of_a_run_is_told_as_the_row_and_the_receipt_have_it(
    fixture: RecordsFixture, end: End, delivered: int, event: EventType, failed: int
) -> None:
    job = await ordered(fixture)
    await job.open()
    assert await fixture.records.ending(job.job_id, job.run) is None, "it has not ended"
    await job.deliver(range(delivered))
    receipt = await job.close(end, error="the key is not valid" if end is End.FAILED else None)
    found = await ending(fixture, job, job.run)
    assert (found.job_id, found.run_id, found.webhook_url) == (job.job_id, job.run, URL)
    assert (found.user_id, found.production_id) == (job.order.user_id, job.order.production_id)
    assert found.receipt == receipt
    assert abs(found.ended_at - datetime.now(UTC)) < timedelta(minutes=1)
    told, row = event_of(found), await job.row()
    assert (told.type, told.data.status) == (event, row.status)
    assert (told.data.total_images, told.data.completed_images) == (row.total_images, row.completed_images)
    assert told.data.failed_images == row.failed_images == failed
    assert told.data.error_message == row.error_message
    assert told.timestamp.utcoffset() == timedelta(0)


async def test_the_end_of_an_anonymous_job_is_told_of_nobody(fixture: RecordsFixture) -> None:
    job = await ordered(fixture, anonymous=True)
    await job.open()
    await job.close(End.CANCELLED)
    assert (await ending(fixture, job, job.run)).user_id is None


async def test_a_later_run_changes_nothing_of_what_is_told_of_an_earlier_one(fixture: RecordsFixture) -> None:
    job = await ordered(fixture)
    await job.open()
    await job.deliver([0])
    await job.close(End.CANCELLED)
    first = await ending(fixture, job, job.run)
    await job.open(job.named(2), restart=True)
    assert await ending(fixture, job, job.named(1)) == first
    assert await fixture.records.ending(job.job_id, job.named(2)) is None
    await job.deliver([1, 2])
    await job.close()
    second = await ending(fixture, job, job.named(2))
    assert await ending(fixture, job, job.named(1)) == first
    assert (first.receipt.status, second.receipt.status) == (JobStatus.CANCELLED, JobStatus.COMPLETED)
    assert event_id(first) != event_id(second)


async def test_a_job_that_no_run_opened_is_told_when_it_is_cancelled(fixture: RecordsFixture) -> None:
    job = await ordered(fixture)
    assert await fixture.records.ending(job.job_id, None) is None
    await fixture.records.cancel_pending(job.job_id, "not wanted")
    found = await ending(fixture, job, None)
    assert (found.webhook_url, found.user_id, found.run_id) == (URL, job.order.user_id, None)
    assert (found.receipt.status, found.receipt.ordered, found.receipt.delivered) == (JobStatus.CANCELLED, 3, 0)
    assert event_of(found).type is EventType.CANCELLED


async def test_a_cancelled_job_that_ran_is_told_by_its_run_alone(fixture: RecordsFixture) -> None:
    job = await ordered(fixture)
    await job.open()
    await job.close(End.CANCELLED)
    assert await fixture.records.ending(job.job_id, None) is None


async def test_nothing_is_told_of_what_is_not_there(fixture: RecordsFixture) -> None:
    job, other = await ordered(fixture), await ordered(fixture)
    for each in (job, other):
        await each.open()
        await each.close(End.CANCELLED)
    assert await fixture.records.ending(uuid4(), job.run) is None
    assert await fixture.records.ending(job.job_id, other.run) is None
    assert await fixture.records.ending(uuid4(), None) is None


async def test_the_receiver_of_a_rejected_order_is_kept_until_an_order_is_stored(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    for _ in range(2):
        await fixture.records.keep_webhook(job.job_id, URL)
    opened = await job.open(rejection="stages[0].prompt: is empty")
    assert opened.webhook
    await job.close(End.FAILED, error="stages[0].prompt: is empty")
    found = await ending(fixture, job, job.run)
    assert (found.webhook_url, event_of(found).type) == (URL, EventType.FAILED)
    assert event_of(found).data.error_message == "stages[0].prompt: is empty"
    # The restart finds an order that names nobody, and from then on nothing changes it.
    assert not (await job.open(job.named(2), restart=True)).webhook
    await fixture.records.keep_webhook(job.job_id, URL)
    await job.close(End.CANCELLED)
    assert (await ending(fixture, job, job.run)).webhook_url is None
