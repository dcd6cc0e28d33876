"""What a user has of what the API limits: jobs that have not ended, and bytes of uploads."""

from uuid import UUID

from darkroom.domain.stored import NewReference
from darkroom.domain.usage import Usage
from tests.support.records.fixture import RecordsFixture


async def uploaded(fixture: RecordsFixture, user_id: UUID, size: int) -> None:
    await fixture.records.add_reference(
        NewReference(
            user_id=user_id,
            original_name="a.png",
            path=f"{user_id}/{size}.png",
            size=size,
            media_type="image/png",
            sha256=f"{size:064}",
        )
    )


async def test_who_has_nothing_has_nothing(fixture: RecordsFixture) -> None:
    assert await fixture.records.usage(await fixture.member()) == Usage(open_jobs=0, stored_bytes=0)


async def test_open_jobs_and_uploads_count_and_pictures_that_were_ordered_do_not(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    await fixture.pending(user_id)
    assert await fixture.records.usage(user_id) == Usage(open_jobs=1, stored_bytes=0)
    for size in (10, 200):
        await uploaded(fixture, user_id, size)
    await uploaded(fixture, await fixture.member(), 4_000)
    assert await fixture.records.usage(user_id) == Usage(open_jobs=1, stored_bytes=210)


async def test_an_ended_job_is_not_open(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (1,))
    await job.deliver([0])
    assert await fixture.records.usage(user_id) == Usage(open_jobs=1, stored_bytes=0)
    await job.close()
    assert await fixture.records.usage(user_id) == Usage(open_jobs=0, stored_bytes=0)
