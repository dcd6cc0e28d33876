"""A job's end is told to whom the order names, by a workflow of its own, and the job never waits for it."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pydantic import JsonValue
from standardwebhooks import WebhookVerificationError
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client as TemporalClient

from darkroom.domain.customers_words import DRAWING, for_customers
from darkroom.domain.names import LOCAL_USER, batch_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.housekeeping.housekeeper import Housekeeper
from darkroom.signing import deployment_secret, webhook_secret
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.webhooks import stack_of, verified, webhook_of
from tests.support.stacks.workflow import WorkflowStack
from tests.support.until import until
from tests.support.webhooks.receiver import Receiver
from workflows.webhook import WebhookWorkflow

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("quick_webhooks")]


async def test_a_completed_job_is_told_to_a_receiver_that_verifies(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.order(3, webhookUrl=f"http://shop.example:{receiver.port}/hooks")
        receipt = await stack.client.result(job_id)
        [got] = await receiver.events(1)
        assert (await (await webhook_of(stack, job_id)).result()).attempt == 1
        event = verified(stack, got)
        assert (event["type"], event["data"]["status"]) == ("job.completed", "completed")
        assert (event["data"]["total_images"], event["data"]["completed_images"]) == (3, 3)
        assert event["data"]["receipt"] == for_customers(receipt).model_dump(mode="json")
        assert len(receiver.received) == 1


async def test_what_a_job_starts_has_turns_of_its_own(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.order(1, webhook_url=receiver.hook, priority=1)
        await stack.client.result(job_id)
        turns = {}
        async for event in stack.handle(job_id).fetch_history_events():
            if event.event_type == EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
                child = event.start_child_workflow_execution_initiated_event_attributes
                turns[child.workflow_type.name] = child.priority.fairness_key
        assert turns == {"StageBatchWorkflow": f"{LOCAL_USER}/begun", "WebhookWorkflow": f"{LOCAL_USER}/begun"}
        batch = await stack.temporal.get_workflow_handle(batch_workflow_id(job_id, 0, 0, 0)).describe()
        assert batch.raw_description.workflow_execution_info.priority.priority_key == 1
        await receiver.events(1)


async def test_a_failed_job_is_told_with_its_reason(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 0): [Act.STOP]})
    async with Receiver() as receiver, stack_of(skipping_client, home, provider) as stack:
        await stack.client.result(await stack.order(1, webhook_url=receiver.hook))
        [got] = await receiver.events(1)
        event = verified(stack, got)
        assert (event["type"], event["data"]["failed_images"]) == ("job.failed", 1)
        assert event["data"]["error_message"] == DRAWING


async def test_the_end_of_a_job_without_an_owner_is_told_of_nobody_and_signed_with_no_users_secret(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, 0): [Act.STOP]})
    async with Receiver() as receiver, stack_of(skipping_client, home, provider) as stack:
        document: dict[str, JsonValue] = {"stages": [{"prompt": "x", "quantity": 1}], "webhookUrl": receiver.hook}
        job_id = (await stack.client.submit(await stack.client.check(document, None))).job_id
        await stack.client.result(job_id)
        [got] = await receiver.events(1)
        secret = deployment_secret(stack.parts.settings)
        for user_id in (stack.user_id, LOCAL_USER, uuid4()):
            with pytest.raises(WebhookVerificationError):
                got.verified(webhook_secret(secret, user_id))
        event = got.verified(webhook_secret(secret, None))
        assert (event["type"], event["data"]["job_id"]) == ("job.failed", str(job_id))
        assert event["data"]["user_id"] is event["data"]["production_id"] is None
        assert (event["data"]["error_message"], event["data"]["receipt"]["unit_price"]) == (DRAWING, 0)
        assert "http" not in got.body.decode(), "nothing in it leads to a picture"


async def test_a_cancelled_job_is_told(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.held(5, webhook_url=receiver.hook, calls=2)
        await stack.client.cancel(job_id)

        async def heard() -> bool:
            return (await stack.row(job_id)).cancel_requested

        await until(heard, "the cancel")
        stack.provider.gate.set()
        await stack.client.result(job_id)
        [got] = await receiver.events(1)
        event = verified(stack, got)
        assert (event["type"], event["data"]["completed_images"]) == ("job.cancelled", 2)


async def test_a_cancel_through_temporal_is_told_too(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.held(2, webhook_url=receiver.hook, calls=2)
        await stack.handle(job_id).cancel()

        async def heard() -> bool:
            return (await stack.row(job_id)).cancel_requested

        await until(heard, "the cancel")
        stack.provider.gate.set()
        await stack.client.result(job_id)
        [got] = await receiver.events(1)
        assert verified(stack, got)["type"] == "job.cancelled"


@pytest.mark.parametrize("by", ["the command line", "a front end"])
async def test_a_job_that_is_cancelled_before_it_ran_is_told(
    skipping_client: TemporalClient, home: Path, by: str
) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        document: dict[str, JsonValue] = {"stages": [{"prompt": "x", "quantity": 2}], "webhookUrl": receiver.hook}
        job_id = await stack.stored(document, receiver.hook if by == "the command line" else None)
        assert (await stack.client.cancel(job_id)).success
        assert not (await stack.client.cancel(job_id)).success
        [got] = await receiver.events(1)
        event = verified(stack, got)
        assert (event["type"], event["data"]["total_images"], event["data"]["run_id"]) == ("job.cancelled", 2, None)
        assert got.id == f"msg_{job_id}"


async def test_a_front_ends_order_that_is_rejected_is_told(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        document: dict[str, JsonValue] = {"stages": [{"prompt": "", "quantity": 2}], "webhookUrl": receiver.hook}
        job_id = await stack.stored(document)
        await stack.client.start_waiting_jobs()
        await stack.client.result(job_id)
        [got] = await receiver.events(1)
        event = verified(stack, got)
        assert event["type"] == "job.failed"
        assert event["data"]["error_message"].startswith("stages[0].prompt: ")


async def test_a_front_ends_order_with_a_hostile_webhook_fails_and_nothing_is_sent(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with stack_of(skipping_client, home) as stack:
        document: dict[str, JsonValue] = {
            "stages": [{"prompt": "x", "quantity": 2}],
            "webhook_url": "https://169.254.169.254/",
        }
        job_id = await stack.stored(document)
        await stack.client.start_waiting_jobs()
        receipt = await stack.client.result(job_id)
        assert receipt.status is JobStatus.FAILED
        assert (receipt.error_message or "").startswith("webhook_url: 169.254.169.254 is a link-local address")
        assert await children(stack, job_id) == 0


async def test_a_job_whose_workflow_was_terminated_is_told_by_housekeeping(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.DELIVER_PATIENCE", 0.1)  # nobody settles what it leaves
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.held(2, webhook_url=receiver.hook, calls=2)
        await stack.handle(job_id).terminate()
        stack.provider.gate.set()
        await Housekeeper(stack.parts.records, stack.parts.storage, stack.temporal).tidy()
        [got] = await receiver.events(1)
        event = verified(stack, got)
        assert event["type"] == "job.failed"
        assert "terminated" in event["data"]["error_message"]


async def test_each_run_of_a_job_is_an_event_of_its_own(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 0): [Act.STOP]})
    async with Receiver() as receiver, stack_of(skipping_client, home, provider) as stack:
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.client.result(job_id)
        await receiver.events(1)
        await stack.client.restart(job_id)
        await stack.client.result(job_id)
        first, second = await receiver.events(2)
        assert [verified(stack, got)["type"] for got in (first, second)] == ["job.failed", "job.completed"]
        assert first.id != second.id


async def children(stack: WorkflowStack, job_id: UUID) -> int:
    """How many workflows the job's workflow started to tell its end."""
    history = await stack.handle(job_id).fetch_history()
    started = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
    names = [
        event.start_child_workflow_execution_initiated_event_attributes.workflow_type.name
        for event in history.events
        if event.event_type == started
    ]
    return names.count(WebhookWorkflow.__name__)


async def test_a_job_without_a_webhook_starts_nothing_for_it(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        without, named = await stack.order(1), await stack.order(1, webhook_url=receiver.hook)
        for job_id, number in ((without, 0), (named, 1)):
            await stack.client.result(job_id)
            assert await children(stack, job_id) == number
        history = (await stack.handle(named).fetch_history()).to_json()
        assert "xyzzy" not in history
