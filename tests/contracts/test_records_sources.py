"""What a delivered file was made from stands on its attachment (spec §3)."""

from uuid import UUID, uuid4

import pytest

from darkroom.domain.groups import AttachGroupInput
from darkroom.domain.images import AttachInput
from darkroom.domain.sources import PictureOrigin, PictureSource
from tests.support.records.fixture import Job, RecordsFixture

SOURCE = PictureSource(sha256="ab" * 32, media_type="image/png", c2pa=True)
MODEL = "gemini-nano-banana-2.1"


async def drawn(job: Job, ordinal: int, source: PictureSource = SOURCE, model: str | None = MODEL) -> UUID:
    call = uuid4()
    await job.begin(ordinal, call=call, provider="gemini", model=model)
    origin = await job.records.note_source(call, source)
    assert origin == PictureOrigin(provider="gemini", model=model)
    assert origin.trained
    return call


def on_row(row: dict[str, object]) -> tuple[object, ...]:
    names = ("source_sha256", "source_media_type", "source_c2pa", "source_provider", "source_model")
    return tuple(row[name] for name in names)


async def test_an_attachment_names_the_bytes_it_was_made_from_and_who_drew_them(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.attach(0, call=await drawn(job, 0))
    [row] = (await fixture.dump())["quel_attach"]
    assert on_row(row) == (SOURCE.sha256, "image/png", True, "gemini", MODEL)


async def test_noting_it_twice_is_noting_it_once(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    call = await drawn(job, 0)
    before = await fixture.dump()
    assert (await fixture.records.note_source(call, SOURCE)).model == MODEL
    assert await fixture.dump() == before


async def test_an_image_attached_again_names_the_call_that_its_file_is_of(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.attach(0, call=await drawn(job, 0))
    await job.begin(0, looked=True, call=(later := uuid4()), provider="runware")
    await fixture.records.note_source(later, PictureSource(sha256="cd" * 32, media_type="image/jpeg", c2pa=False))
    await job.attach(0, call=later)
    [row] = (await fixture.dump())["quel_attach"]
    assert on_row(row) == ("cd" * 32, "image/jpeg", False, "runware", None)


async def test_images_of_a_group_have_each_their_own(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    calls = [await drawn(job, n, SOURCE.model_copy(update={"c2pa": n == 1})) for n in range(3)]
    images = [
        AttachInput(key=job.key(n), run_id=job.run, call_id=call, path=job.key(n).final(None), size=9, sha256="00" * 32)
        for n, call in enumerate(calls)
    ]
    await fixture.records.attach_group(AttachGroupInput.of(images))
    rows = sorted((await fixture.dump())["quel_attach"], key=lambda row: str(row["ordinal"]))
    assert [bool(row["source_c2pa"]) for row in rows] == [False, True, False]


async def test_a_call_that_no_record_knows_was_drawn_by_nobody_known(fixture: RecordsFixture) -> None:
    origin = await fixture.records.note_source(uuid4(), SOURCE)
    assert origin == PictureOrigin()
    assert origin.trained  # in doubt, the mark says so


@pytest.mark.parametrize("call", [None, uuid4()])
async def test_a_picture_of_which_nothing_was_noted_is_attached(fixture: RecordsFixture, call: UUID | None) -> None:
    job = await fixture.opened(await fixture.member())
    assert (await job.attach(0, call=call)).attach_id is not None
    [row] = (await fixture.dump())["quel_attach"]
    assert on_row(row) == (None,) * 5
