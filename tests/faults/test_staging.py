"""Paid bytes are staged before anything looks into them, each call's under a name of its own (spec §3)."""

import asyncio
import errno
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client as TemporalClient
from temporalio.testing import ActivityEnvironment

from activities import uploads
from activities.composition import image_activities
from activities.refreshing import RowRefresher
from activities.staging import Staging
from activities.uploads import UNFORESEEN
from darkroom.decoding.xmp import Mark
from darkroom.domain.attempts import Attempt
from darkroom.domain.formats import ImageFormat
from darkroom.domain.images import (
    AttachInput,
    CreditInput,
    GenerateInput,
    ImageKey,
    ImageRequest,
    Outcome,
    ProviderAnswer,
    Settlement,
    UploadInput,
)
from darkroom.domain.progress import JobStatus
from darkroom.pictures import Deliverable, PictureWork
from tests.support.fakes.scripted import PICTURE, tiny_picture
from tests.support.fakes.storage import RefusingSome
from tests.support.stacks.watching import Between, BrokenFolder
from tests.support.stacks.workflow import WorkflowStack, running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_picture_that_storage_refuses_stops_its_own_job_alone(
    skipping_client: TemporalClient, home: Path
) -> None:
    storage = RefusingSome(home / "files")
    async with running_stack(skipping_client, home, storage=storage, stage_concurrency=2) as stack:
        stack.provider.gate.clear()
        unlucky = await stack.order(1)
        await stack.provider.until_calls(1)
        storage.refused = unlucky
        failed = await stack.end_of(unlucky)
        assert (failed.status, failed.delivered, failed.total.charged) == (JobStatus.FAILED, 0, 0)
        assert "limit of the bucket" in (failed.error_message or "")
        for _ in range(2):
            receipt = await stack.end_of(await stack.order(3))
            assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 3)
        storage.refused = None
        await stack.client.restart(unlucky)
        receipt = await stack.end_of(unlucky)
        assert (receipt.status, receipt.delivered, receipt.total.provider_calls) == (JobStatus.COMPLETED, 1, 1)
        await stack.check_invariants()


async def test_an_outage_of_the_storage_holds_the_calls_open_and_none_is_made_twice(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = BrokenFolder(monkeypatch, errno.ENOSPC, "/files/staging/")
    async with running_stack(skipping_client, home, stage_concurrency=3) as stack:
        job_id = await stack.order(5)
        await staging.until_failed()
        assert not await stack.parts.storage.keys("generated-images/")
        staging.mended = True
        receipt = await stack.end_of(job_id)
        assert (receipt.delivered, receipt.total.provider_calls) == (5, 5)
        assert (receipt.total.faults, receipt.total.unknown_calls) == (0, 0)
        assert await stack.parts.beside.keys("staging/") == []
        await stack.check_invariants()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")], ids=["memory", "thread"])
async def test_an_error_while_a_staged_picture_is_encoded_costs_neither_the_picture_nor_a_call(
    error: Exception, skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails(monkeypatch, error, times=1)
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        receipt = await stack.end_of(await stack.order(2))
        assert (receipt.delivered, receipt.total.misses, receipt.total.unknown_calls) == (2, 0, 0)
        assert stack.provider.calls == {(0, n): 1 for n in range(2)}
        await stack.check_invariants()


async def test_one_that_never_passes_is_a_recorded_miss_after_the_last_attempt_and_one_call(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails(monkeypatch, MemoryError(), times=UNFORESEEN)
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        receipt = await stack.end_of(await stack.order(1, max_top_ups=0))
        assert (receipt.delivered, receipt.total.misses, receipt.total.unknown_calls) == (0, 1, 0)
        assert stack.provider.total_calls == 1
        assert "MemoryError" in (receipt.missing[0].reason or "")


async def test_large_pictures_are_in_memory_only_as_far_as_there_is_room(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "IN_HAND_BYTES", 4)  # of which any picture takes all
    in_hand = _counted(monkeypatch)
    async with running_stack(skipping_client, home, stage_concurrency=6) as stack:
        await stack.end_of(await stack.order(6))
        assert in_hand["most"] <= 4, "before any was read, each counts as a fourth of the room"
        in_hand.clear()
        receipt = await stack.end_of(await stack.order(6))
        assert (receipt.delivered, in_hand["most"]) == (6, 1)


@pytest.mark.parametrize(("light", "at_once"), [(256_000, 2), (0, 1)], ids=["light", "heavy"])
async def test_only_heavy_pictures_wait_until_one_before_them_is_encoded(
    light: int, at_once: int, skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "IN_HAND", 1)
    monkeypatch.setattr(uploads, "LIGHT", light)
    in_hand = _counted(monkeypatch, together=at_once)
    async with running_stack(skipping_client, home, stage_concurrency=3) as stack:
        receipt = await stack.end_of(await stack.order(2))
        assert (receipt.delivered, in_hand["most"]) == (2, at_once)


TOGETHER_WITHIN = 20.0


def _counted(monkeypatch: pytest.MonkeyPatch, together: int = 1) -> Counter[str]:
    """How many pictures are being encoded, `now` and at `most`; each waits until so many are, but not for ever."""
    real, in_hand, enough = PictureWork.deliverable, Counter[str](), asyncio.Event()

    async def deliverable(self: PictureWork, data: bytes, wanted: ImageFormat, mark: Mark | None) -> Deliverable:
        in_hand["now"] += 1
        in_hand["most"] = max(in_hand["most"], in_hand["now"])
        if in_hand["now"] >= together:
            enough.set()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), TOGETHER_WITHIN)
            return await real(self, data, wanted, mark)
        finally:
            in_hand["now"] -= 1

    monkeypatch.setattr(PictureWork, "deliverable", deliverable)
    return in_hand


def _fails(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> None:
    """Encoding a picture, which is the first look at it, fails so many times."""
    real, failed = PictureWork.deliverable, [0]

    async def deliverable(self: PictureWork, data: bytes, wanted: ImageFormat, mark: Mark | None) -> Deliverable:
        if failed[0] < times:
            failed[0] += 1
            raise error
        return await real(self, data, wanted, mark)

    monkeypatch.setattr(PictureWork, "deliverable", deliverable)


async def test_an_error_of_the_provider_nobody_foresaw_is_a_recorded_miss_and_no_second_call(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        real = stack.provider.generate

        async def generate(request: ImageRequest) -> ProviderAnswer:
            answer = await real(request)
            if request.ordinal == 0:
                raise MemoryError
            return answer

        monkeypatch.setattr(stack.provider, "generate", generate)
        receipt = await stack.end_of(await stack.order(2))
        assert (receipt.delivered, receipt.total.misses, receipt.total.unknown_calls) == (2, 1, 0)
        assert stack.provider.calls == {(0, n): 1 for n in range(3)}


async def test_unreadable_bytes_of_a_later_call_hide_no_picture_of_an_earlier_one(
    skipping_client: TemporalClient, home: Path
) -> None:
    generating = Between("generate")
    async with running_stack(skipping_client, home, interceptors=[generating], stage_concurrency=1) as stack:

        async def leave_both(image: GenerateInput) -> None:
            staging = Staging(stack.parts.storage, stack.parts.beside)
            for data in (PICTURE, b"no picture"):
                attempt = Attempt(key=image.key, run_id=image.run_id, call_id=uuid4(), round=0, provider="offline")
                await stack.parts.records.begin_attempt(attempt, looked=True)
                await staging.put(image.key, attempt.call_id, data)

        generating.before = leave_both
        receipt = await stack.end_of(await stack.order(1, max_top_ups=0))
        assert (receipt.delivered, receipt.total.provider_calls) == (1, 2)
        assert stack.provider.total_calls == 0
        await stack.check_invariants()


async def _delivered(stack: WorkflowStack, job_id: UUID) -> dict[int, tuple[str, str]]:
    """Path and digest on record of each delivered image."""
    images = await stack.parts.records.delivered_images(job_id, 0, 100)
    return {image.ordinal: (image.path, image.sha256 or "") for image in images}


async def test_a_worker_that_comes_back_late_overwrites_no_delivered_picture(
    skipping_client: TemporalClient, home: Path
) -> None:
    """It stood still between its call and its upload; the image was delivered by another call meanwhile."""
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.order(1)
        await stack.end_of(job_id)
        before = await _delivered(stack, job_id)
        key, zombie = ImageKey(job_id=job_id, stage_index=0, ordinal=0), uuid4()
        run_id = (await stack.row(job_id)).run_id
        assert run_id is not None
        images = image_activities(stack.parts, RowRefresher(stack.parts.records), last_attempt=20)
        await Staging(stack.parts.storage, stack.parts.beside).put(key, zombie, tiny_picture(9))
        late = UploadInput(key=key, user_id=stack.user_id, call_id=zombie)
        uploaded = await _in_activity(images.upload, late)
        assert uploaded.outcome is Outcome.GENERATED
        attach = AttachInput(
            key=key, run_id=run_id, call_id=zombie, path=uploaded.path, size=uploaded.size, sha256=uploaded.sha256
        )
        await _in_activity(images.attach, attach)
        credited = await _in_activity(images.credit, CreditInput(key=key, run_id=run_id))
        assert credited.settlement is Settlement.SETTLED
        assert await _delivered(stack, job_id) == before
        [(path, recorded)] = before.values()
        data = await stack.parts.storage.get(path)
        assert data is not None
        assert sha256(data).hexdigest() == recorded
        await stack.check_invariants()


async def _in_activity(activity: Any, given: Any) -> Any:
    return await ActivityEnvironment().run(activity, given)


async def test_a_late_upload_removes_the_file_that_nobody_will_name(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.uploads.MAY_BE_LATE", 0.0)
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.order(2)
        await stack.end_of(job_id)
        before = await stack.parts.storage.keys("generated-images/")
        assert len(before) == 2, "a picture in time was taken for a late one"
        images = image_activities(stack.parts, RowRefresher(stack.parts.records), last_attempt=20)
        for ordinal in (0, 7):
            key, zombie = ImageKey(job_id=job_id, stage_index=0, ordinal=ordinal), uuid4()
            await Staging(stack.parts.storage, stack.parts.beside).put(key, zombie, tiny_picture(9))
            await _in_activity(images.upload, UploadInput(key=key, user_id=stack.user_id, call_id=zombie))
        assert await stack.parts.storage.keys("generated-images/") == before


async def test_a_call_for_a_stage_that_filled_meanwhile_is_not_made(
    skipping_client: TemporalClient, home: Path
) -> None:
    """As after a reset to just after the opening: the workflow's counts trail the records."""
    generating = Between("generate")
    async with running_stack(skipping_client, home, interceptors=[generating], stage_concurrency=1) as stack:

        async def deliver_it_elsewhere(image: Any) -> None:
            call_id, run_id = uuid4(), image.run_id
            key = image.key.model_copy(update={"ordinal": 40})
            images = image_activities(stack.parts, RowRefresher(stack.parts.records), last_attempt=20)
            await Staging(stack.parts.storage, stack.parts.beside).put(key, call_id, PICTURE)
            up = await _in_activity(images.upload, UploadInput(key=key, user_id=stack.user_id, call_id=call_id))
            attach = AttachInput(key=key, run_id=run_id, call_id=None, path=up.path, size=up.size, sha256=up.sha256)
            await _in_activity(images.attach, attach)
            await _in_activity(images.credit, CreditInput(key=key, run_id=run_id))

        generating.before = deliver_it_elsewhere
        receipt = await stack.end_of(await stack.order(1))
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 1)
        assert stack.provider.total_calls == 0
        await stack.check_invariants()
