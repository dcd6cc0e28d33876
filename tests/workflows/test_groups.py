"""Images of one batch take their steps together; each has its own result."""

from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client as TemporalClient
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from darkroom.domain.groups import AttachGroupInput, CreditGroupInput, UploadGroupInput
from darkroom.domain.images import AttachInput
from darkroom.domain.names import batch_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt
from darkroom.records.sqlite import SqliteRecords
from tests.support.fakes.storage import NotAtFirst
from tests.support.records.tables import SqliteTables
from tests.support.stacks.watching import Between, asked_for, job_of
from tests.support.stacks.workflow import PRICE, WorkflowStack, running_stack

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

IMAGES = 12


async def _all_at_once(stack: WorkflowStack) -> tuple[UUID, Receipt]:
    """The receipt of a job whose calls end in the same moment."""
    job_id = await stack.held(IMAGES, calls=IMAGES)
    return job_id, await stack.end_of(job_id)


async def _activities(stack: WorkflowStack, job_id: UUID, round_: int = 0) -> list[str]:
    """The types of the activities of a batch."""
    batch = stack.temporal.get_workflow_handle(batch_workflow_id(job_id, 0, round_, 0))
    return [step async for event in batch.fetch_history_events() if (step := asked_for(event))]


async def _plant(stack: WorkflowStack, statement: str, **values: object) -> None:
    assert isinstance(stack.parts.records, SqliteRecords)
    await SqliteTables(stack.parts.records).plant(statement, **values)


async def test_images_whose_calls_end_together_take_few_activities(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id, receipt = await _all_at_once(stack)
        assert (receipt.status, receipt.delivered, receipt.total.charged) == (
            JobStatus.COMPLETED,
            IMAGES,
            IMAGES * PRICE,
        )
        activities = await _activities(stack, job_id)
        assert activities.count("generate") == IMAGES
        assert {"upload_group", "attach_group", "credit_group"} <= set(activities)
        assert len(activities) < 2 * IMAGES
        await stack.check_invariants()


async def test_one_image_takes_the_activities_for_one(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.order(1)
        await stack.client.result(job_id)
        assert await _activities(stack, job_id) == ["generate", "upload", "attach", "credit"]


@pytest.mark.parametrize("step", ["upload_group", "attach_group", "credit_group"])
async def test_a_group_whose_answer_is_lost_is_done_once(
    skipping_client: TemporalClient, home: Path, step: str
) -> None:
    between = Between(step)
    async with running_stack(skipping_client, home, interceptors=[between]) as stack:
        lost: list[object] = []

        async def lose_the_answer(group: object) -> None:
            lost.append(group)
            raise ApplicationError("the answer was lost", category=ApplicationErrorCategory.BENIGN)

        between.after = lose_the_answer
        _, receipt = await _all_at_once(stack)
        assert lost
        assert (receipt.delivered, receipt.total.charged, stack.provider.total_calls) == (
            IMAGES,
            IMAGES * PRICE,
            IMAGES,
        )
        await stack.check_invariants()


async def test_a_hold_that_covers_a_part_of_a_group_settles_its_first_images(
    skipping_client: TemporalClient, home: Path
) -> None:
    crediting = Between("credit_group")
    async with running_stack(skipping_client, home, interceptors=[crediting]) as stack:
        asked: list[int] = []
        before: list[int] = []

        async def leave_enough_for_two(group: CreditGroupInput) -> None:
            asked.extend(group.ordinals)
            before.extend(ordinal for ordinal, _ in await stack.parts.records.delivered_pairs(group.job_id, 0, -1, 99))
            await _plant(
                stack,
                "update quel_credit_holds set amount = :left where job_id = :id",
                left=2 * PRICE + 1,
                id=str(group.job_id),
            )

        crediting.before = leave_enough_for_two
        job_id, receipt = await _all_at_once(stack)
        assert receipt.status is JobStatus.FAILED
        assert "insufficient credits" in (receipt.error_message or "")
        delivered = [ordinal for ordinal, _ in await stack.parts.records.delivered_pairs(job_id, 0, -1, 99)]
        assert delivered == sorted({*before, *asked[:2]})
        assert receipt.total.charged == PRICE * len(delivered)
        assert await stack.parts.records.audit() == []


async def test_a_row_that_cannot_be_read_stops_the_job_and_holds_up_no_other_image(
    skipping_client: TemporalClient, home: Path
) -> None:
    crediting = Between("credit_group")
    async with running_stack(skipping_client, home, interceptors=[crediting]) as stack:
        asked: list[int] = []

        async def break_the_first(group: CreditGroupInput) -> None:
            asked.extend(group.ordinals)
            await _plant(
                stack,
                "update quel_generation_attempts set call_id = 'no id' where job_id = :id and ordinal = :ordinal",
                id=str(group.job_id),
                ordinal=asked[0],
            )

        crediting.before = break_the_first
        job_id, receipt = await _all_at_once(stack)
        assert (receipt.status, receipt.error_message is None) == (JobStatus.FAILED, False)
        delivered = {ordinal for ordinal, _ in await stack.parts.records.delivered_pairs(job_id, 0, -1, 99)}
        assert asked[0] not in delivered
        assert set(asked[1:]) <= delivered
        assert receipt.total.charged == PRICE * len(delivered)


async def test_a_picture_that_the_storage_does_not_take_holds_up_no_other(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, storage=NotAtFirst(home / "files", "0-3-")) as stack:
        job_id, receipt = await _all_at_once(stack)
        assert (receipt.delivered, receipt.total.misses, stack.provider.total_calls) == (IMAGES, 0, IMAGES)
        assert "upload" in await _activities(stack, job_id)
        await stack.check_invariants()


async def test_a_picture_that_is_broken_or_gone_is_missed_alone(skipping_client: TemporalClient, home: Path) -> None:
    uploading = Between("upload_group")
    async with running_stack(skipping_client, home, interceptors=[uploading], top_up_delay=0.0) as stack:

        async def spoil_two(group: UploadGroupInput) -> None:
            broken, gone, *_ = list(group.uploads())
            await stack.parts.storage.put(broken.key.staging(broken.call_id), b"no picture", "image/png")
            await stack.parts.storage.delete([gone.key.staging(gone.call_id)])

        uploading.before = spoil_two
        _, receipt = await _all_at_once(stack)
        assert (receipt.delivered, receipt.total.misses, receipt.total.charged) == (IMAGES, 2, IMAGES * PRICE)
        assert stack.provider.total_calls == IMAGES + 2
        await stack.check_invariants()


@pytest.mark.parametrize("images", [1, 12], ids=["alone", "in a group"])
async def test_a_worker_that_stops_waits_for_no_image_that_the_records_refused(
    skipping_client: TemporalClient, home: Path, images: int
) -> None:
    """Its bytes wait in staging for another run, which nobody may ever start."""
    attaching = Between("attach", "attach_group")
    with capture_logs() as lines:
        async with running_stack(skipping_client, home, interceptors=[attaching], stage_concurrency=images) as stack:

            async def take_over(attached: AttachInput | AttachGroupInput) -> None:
                await _plant(
                    stack,
                    "update quel_production_jobs set current_run_id = 'another' where job_id = :id",
                    id=str(job_of(attached)),
                )

            attaching.before = take_over
            await stack.end_of(await stack.held(images, calls=images))
    assert "pictures left in staging" not in [line["event"] for line in lines]


async def test_a_group_of_a_run_that_was_taken_over_changes_nothing(
    skipping_client: TemporalClient, home: Path
) -> None:
    attaching = Between("attach_group")
    async with running_stack(skipping_client, home, interceptors=[attaching]) as stack:

        async def take_over(group: AttachGroupInput) -> None:
            await _plant(
                stack,
                "update quel_production_jobs set current_run_id = 'another' where job_id = :id",
                id=str(group.job_id),
            )

        attaching.before = take_over
        job_id, receipt = await _all_at_once(stack)
        assert receipt.delivered == 0
        assert len(await stack.parts.records.delivered_pairs(job_id, 0, -1, 99)) < IMAGES
        assert await stack.parts.records.audit() == []
