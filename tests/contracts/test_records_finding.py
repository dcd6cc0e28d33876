"""What jobs are called, and how they are found: by state, words and day."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from darkroom.domain.errors import JobNotFound
from darkroom.domain.finding import JobCondition, JobState, words_in
from darkroom.domain.jobs import Control, End
from darkroom.domain.progress import JobStatus
from darkroom.domain.snapshots import JobCursor
from tests.support.records.fixture import Job, RecordsFixture


async def found(
    fixture: RecordsFixture,
    search: str = "",
    statuses: Iterable[JobState] = (),
    day: date | None = None,
    user_id: UUID | None = None,
) -> list[UUID]:
    """What a list shows, newest first; both kinds of list show the same."""
    words, states = words_in(search), tuple(statuses)
    page = await fixture.records.job_page(50, statuses=states, user_id=user_id, words=words, day=day)
    ids = [job.job_id for job in page]
    if user_id is None:
        whole = await fixture.records.found_jobs(50, statuses=states, words=words, day=day)
        assert [job.job_id for job in whole] == ids
    return ids


async def named(fixture: RecordsFixture, name: str | None, prompt: str = "a quiet lake", *, opened: bool = True) -> Job:
    job = fixture.job(await fixture.member(), (1,), looks=[])
    stages = tuple(stage.model_copy(update={"prompt": prompt}) for stage in job.order.stages)
    job.order = job.order.model_copy(update={"name": name, "stages": stages})
    await job.create()
    if opened:
        await job.open()
    return job


async def test_a_job_has_its_name_from_the_first_moment_on(fixture: RecordsFixture) -> None:
    job = await named(fixture, "Red chairs", opened=False)
    assert (await job.row()).name == "Red chairs"
    await job.open()
    snapshot = await fixture.records.snapshot(job.job_id, None, 0)
    assert snapshot is not None
    [line] = await fixture.records.job_page(5)
    assert ((await job.row()).name, snapshot.name, line.name, line.title) == (
        *["Red chairs"] * 3,
        "a quiet lake",
    )


async def test_a_job_that_a_front_end_inserted_gets_the_name_of_its_order(fixture: RecordsFixture) -> None:
    job = await named(fixture, None, opened=False)
    job.order = job.order.model_copy(update={"name": "Spring"})
    await job.open()
    assert (await job.row()).name == "Spring"


async def test_a_name_is_changed_while_the_job_runs_and_after_it_and_taken_away(fixture: RecordsFixture) -> None:
    job = await named(fixture, "Red chairs")
    for name in ("Blue chairs", "Blue chairs", None):
        await fixture.records.rename_job(job.job_id, name)
        assert (await job.row()).name == name
    assert await found(fixture, "chairs") == []
    await job.close(End.CANCELLED)
    await fixture.records.rename_job(job.job_id, "100 % \\_ “stools”")
    assert await found(fixture, "% \\_ “STOOLS”") == [job.job_id]
    with pytest.raises(JobNotFound):
        await fixture.records.rename_job(uuid4(), "Nobody's")


async def test_a_new_name_waits_for_no_order(fixture: RecordsFixture) -> None:
    job = await named(fixture, "Red chairs", opened=False)
    await fixture.records.rename_job(job.job_id, "Blue chairs")
    await job.open()
    assert (await job.row()).name == "Blue chairs"
    assert (await found(fixture, "red"), await found(fixture, "blue lake")) == ([], [job.job_id])


async def test_what_others_wrote_for_a_name_is_shown_as_one_clean_line(fixture: RecordsFixture) -> None:
    job = await named(fixture, None)
    await fixture.tables.plant(
        "update quel_production_jobs set job_name = :name where job_id = :id",
        name="two\nlines\x1b[31m " + "x" * 200,
        id=str(job.job_id),
    )
    name = (await job.row()).name
    assert name is not None
    assert name.startswith("two lines[31m xxx")
    assert len(name) == 120


async def test_every_word_has_to_be_there_in_a_name_or_a_prompt_whatever_its_case(fixture: RecordsFixture) -> None:
    one = await named(fixture, "Ärmel für Mai", "A RED chair")
    other = await named(fixture, None, "a red table, 의자")
    assert await found(fixture, "red") == [other.job_id, one.job_id]
    assert await found(fixture, "ärmel RED") == [one.job_id]
    assert await found(fixture, "의자 table") == [other.job_id]
    assert await found(fixture, "red sofa") == []
    assert await found(fixture, "r_d") == await found(fixture, "%") == await found(fixture, "'; drop") == []
    assert await found(fixture, "  ") == [other.job_id, one.job_id]


async def test_a_job_is_found_by_the_beginning_of_its_id(fixture: RecordsFixture) -> None:
    job, _ = await named(fixture, "Red"), await named(fixture, "Red")
    assert await found(fixture, str(job.job_id)) == [job.job_id]
    assert await found(fixture, f"red {str(job.job_id).upper()[:9]}") == [job.job_id]
    assert await found(fixture, str(job.job_id)[:5]) == []


async def test_states_tell_running_from_paused_and_short_from_whole(fixture: RecordsFixture) -> None:
    running, paused, whole, failed = [await named(fixture, None) for _ in range(4)]
    await fixture.records.set_control(paused.job_id, paused.run, Control(version=1, paused=True))
    await whole.deliver([0])
    await whole.close(End.DELIVERED)
    await failed.close(End.FAILED, error="the key is wrong")
    short = await fixture.opened(await fixture.member(), (2,))
    await short.deliver([0])
    await short.close(End.DELIVERED)
    expectations: list[tuple[list[JobState], list[Job]]] = [
        ([JobStatus.PROCESSING], [paused, running]),
        ([JobCondition.RUNNING], [running]),
        ([JobCondition.PAUSED], [paused]),
        ([JobStatus.COMPLETED], [short, whole]),
        ([JobCondition.SHORT], [short]),
        ([JobCondition.SHORT, JobStatus.COMPLETED], [short, whole]),
        ([JobStatus.FAILED, JobCondition.RUNNING], [failed, running]),
    ]
    for states, expected in expectations:
        assert await found(fixture, "", states) == [job.job_id for job in expected], states
    assert await found(fixture, "", [JobCondition.SHORT], user_id=short.order.user_id) == [short.job_id]
    assert await found(fixture, "", [JobCondition.SHORT], user_id=whole.order.user_id) == []


async def test_a_day_is_one_of_utc_from_its_first_moment_to_its_last(fixture: RecordsFixture) -> None:
    day = datetime(2026, 11, 20, tzinfo=UTC)
    jobs = [await named(fixture, None) for _ in range(4)]
    step = timedelta(microseconds=1)
    for job, at in zip(jobs, (day - step, day, day + timedelta(days=1) - step, day + timedelta(days=1)), strict=True):
        await fixture.tables.plant(
            "update quel_production_jobs set created_at = :at where job_id = :id",
            at=at.isoformat(timespec="microseconds"),
            id=str(job.job_id),
        )
    expected = [jobs[2].job_id, jobs[1].job_id]
    assert await found(fixture, day=day.date()) == expected
    assert await found(fixture, "lake", [JobStatus.PROCESSING], day=day.date()) == expected
    assert await found(fixture, day=date.max) == [], "there is no day after it"
    assert await found(fixture, user_id=jobs[1].order.user_id, day=day.date()) == [jobs[1].job_id]
    before = JobCursor(created_at=day + timedelta(days=1) - step, job_id=jobs[2].job_id)
    page = await fixture.records.job_page(5, day=day.date(), before=before)
    assert [job.job_id for job in page] == [jobs[1].job_id]


async def test_pages_of_a_search_show_every_job_once(fixture: RecordsFixture) -> None:
    jobs = [await named(fixture, f"Chair {n}") for n in range(5)]
    await named(fixture, "Table")
    seen: list[UUID] = []
    before = None
    while page := await fixture.records.job_page(2, words=("chair",), before=before):
        seen += [job.job_id for job in page]
        before = JobCursor(created_at=page[-1].created_at, job_id=page[-1].job_id)
    assert seen == [job.job_id for job in reversed(jobs)]
