"""Cleaning up after a run: only what nobody will settle, and never what a newer run has put there (spec §3)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities.jobs import JobActivities, Pace
from darkroom.bootstrap import Parts, open_parts
from darkroom.domain.batches import RunRef
from darkroom.domain.continuing import LONG_HISTORY
from darkroom.domain.images import ImageKey
from darkroom.domain.jobs import End
from darkroom.domain.money import Terms
from darkroom.domain.names import image_key, image_prefix, sidecar_key, staging_prefix, thumbnail_key
from darkroom.records.sqlite import SqliteRecords
from darkroom.settings import Settings
from darkroom.storage.files import FileStorage
from tests.support.fakes.scripted import PICTURE, ScriptedProvider
from tests.support.records.fixture import PRICE, Job, RecordsFixture
from tests.support.records.tables import SqliteTables

SUFFIX = ".original.png"


@dataclass
class Studio:
    """One job of three images, its records and its files."""

    parts: Parts
    storage: "OvertakenStorage"
    fixture: RecordsFixture
    job: Job
    user_id: UUID

    async def stage(self, ordinal: int) -> str:
        """A picture waits in staging."""
        key = ImageKey(job_id=self.job.job_id, stage_index=0, ordinal=ordinal)
        await self.storage.put(key.staging(None), PICTURE, "image/png")
        return key.staging(None)

    async def make(self, ordinal: int) -> str:
        """A picture is stored and attached, not yet settled."""
        path = ImageKey(job_id=self.job.job_id, stage_index=0, ordinal=ordinal).final(self.user_id)
        await self.storage.put(path, PICTURE, "image/webp")
        await self.job.make(ordinal)
        return path

    async def deliver(self, ordinal: int) -> str:
        """A picture is stored and settled."""
        path = await self.make(ordinal)
        await self.job.settle(ordinal)
        return path

    async def clean_up(self, run: str) -> None:
        """What the workflow of a run asks for after its close."""
        jobs = JobActivities(
            self.parts.records,
            self.storage,
            self.parts.intake,
            Terms(unit_price=PRICE, max_top_ups=5, providers=("offline",)),
            Pace(
                top_up_delay_seconds=2,
                stage_concurrency=2,
                provider_timeout_seconds=180,
                long_history=LONG_HISTORY,
                stages_at_once=40,
            ),
        )
        asked = RunRef(job_id=self.job.job_id, run_id=run, user_id=self.user_id)
        await ActivityEnvironment().run(jobs.remove_leftovers, asked)

    async def files(self) -> list[str]:
        """Every file of the job."""
        prefixes = staging_prefix(self.job.job_id), image_prefix(self.job.job_id, self.user_id)
        return [key for prefix in prefixes for key in await self.storage.keys(prefix)]

    async def attached(self) -> list[int]:
        """The ordinals with an attachment row."""
        return sorted(row["ordinal"] for row in (await self.fixture.dump())["quel_attach"])


class OvertakenStorage(FileStorage):
    """A storage in which something happens just after a job's pictures were listed, once."""

    overtake: Callable[[], Awaitable[object]] | None = None

    async def keys(self, prefix: str) -> Sequence[str]:
        found = await super().keys(prefix)
        overtake = self.overtake
        if overtake is not None and prefix.startswith("generated-images/"):
            self.overtake = None
            await overtake()
        return found


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    records = SqliteRecords(":memory:")
    storage = OvertakenStorage(tmp_path / "files")
    chosen = Settings(_env_file=None, darkroom_home=tmp_path, image_provider="offline")
    async with open_parts(chosen, records=records, storage=storage, providers={"offline": ScriptedProvider()}) as parts:
        fixture = RecordsFixture(records, SqliteTables(records))
        user_id = await fixture.member()
        yield Studio(parts, storage, fixture, await fixture.opened(user_id, (3,)), user_id)


@pytest.mark.parametrize("end", [End.CANCELLED, End.DELIVERED])
async def test_what_nobody_will_settle_goes_and_what_is_delivered_stays(studio: Studio, end: End) -> None:
    delivered = await studio.deliver(0)
    await studio.make(1)
    await studio.stage(2)
    await studio.job.close(end)
    for _ in range(2):
        await studio.clean_up(studio.job.named(1))
        assert await studio.files() == [delivered]
        assert await studio.attached() == [0]


async def test_a_thumbnail_stays_with_its_picture_and_goes_with_what_nobody_settles(studio: Studio) -> None:
    delivered = await studio.deliver(0)
    late = image_key(studio.job.job_id, studio.user_id, 0, 1)
    kept, gone = thumbnail_key(delivered), thumbnail_key(late)
    for key in (kept, gone, late):
        assert key is not None
        await studio.storage.put(key, PICTURE, "image/webp")
    await studio.job.close(End.CANCELLED)
    await studio.clean_up(studio.job.named(1))
    assert await studio.files() == [delivered]
    assert await studio.storage.keys("thumbnails/") == [kept]


async def test_a_mark_beside_a_picture_stays_and_goes_with_it(studio: Studio) -> None:
    def marked(ordinal: int) -> str:
        return ImageKey(job_id=studio.job.job_id, stage_index=0, ordinal=ordinal).final(studio.user_id, None, SUFFIX)

    for ordinal in range(2):
        for path in (marked(ordinal), sidecar_key(marked(ordinal))):
            assert path is not None
            await studio.storage.put(path, PICTURE, "image/png")
        await studio.job.begin(ordinal)
        await studio.job.attach(ordinal, path=marked(ordinal))
    await studio.job.settle(0)
    await studio.job.close(End.CANCELLED)
    await studio.clean_up(studio.job.named(1))
    assert await studio.files() == [marked(0), sidecar_key(marked(0))]


async def test_generated_pictures_of_a_failed_job_stay_for_a_restart(studio: Studio) -> None:
    kept = [await studio.stage(2), await studio.deliver(0), await studio.make(1)]
    await studio.job.close(End.FAILED, error="GEMINI_API_KEY is wrong")
    await studio.clean_up(studio.job.named(1))
    assert await studio.files() == kept
    assert await studio.attached() == [0, 1]


async def test_a_late_clean_up_leaves_the_files_of_a_newer_run(studio: Studio) -> None:
    delivered = await studio.deliver(0)
    await studio.job.close(End.CANCELLED)
    await studio.job.open(studio.job.named(2), restart=True)
    theirs = [await studio.stage(1), delivered, await studio.make(2)]
    await studio.clean_up(studio.job.named(1))
    assert await studio.files() == theirs
    assert await studio.attached() == [0, 2]


async def test_a_late_clean_up_leaves_the_files_of_a_newer_run_that_has_ended(studio: Studio) -> None:
    await studio.deliver(0)
    await studio.job.close(End.CANCELLED)
    await studio.job.open(studio.job.named(2), restart=True)
    await studio.make(2)
    waiting = await studio.stage(1)
    await studio.job.close(End.FAILED, error="GEMINI_API_KEY is wrong")
    await studio.clean_up(studio.job.named(1))
    assert waiting in await studio.files()
    assert await studio.attached() == [0, 2]


@pytest.mark.parametrize("leftovers", [0, 1])
async def test_a_clean_up_that_a_restart_overtakes_deletes_nothing_more(studio: Studio, leftovers: int) -> None:
    theirs = [await studio.stage(ordinal) for ordinal in range(leftovers)]
    await studio.job.close(End.CANCELLED)

    async def restart() -> None:
        await studio.job.open(studio.job.named(2), restart=True)
        theirs.append(await studio.make(2))

    studio.storage.overtake = restart
    await studio.clean_up(studio.job.named(1))
    assert len(theirs) == leftovers + 1, "the restart came in between"
    assert await studio.files() == theirs
    assert await studio.attached() == [2]


async def test_a_running_job_loses_nothing(studio: Studio) -> None:
    theirs = [await studio.stage(1), await studio.make(2)]
    await studio.clean_up(studio.job.named(1))
    assert await studio.files() == theirs
    assert await studio.attached() == [2]


async def test_a_late_close_of_an_older_run_changes_nothing(studio: Studio) -> None:
    await studio.deliver(0)
    first = await studio.job.close(End.CANCELLED)
    await studio.job.open(studio.job.named(2), restart=True)
    before = await studio.fixture.dump()
    assert await studio.job.close(End.DELIVERED, run=studio.job.named(1)) == first
    assert await studio.fixture.dump() == before
