"""A job's end is told to whom the order names, by a workflow of its own, and the job never waits for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import JsonValue
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import RetryPolicy

from cli.webhooks import first_attempt
from darkroom.client.webhooks import start_webhook
from darkroom.contract import innermost
from darkroom.domain.jobs import NewJob
from darkroom.domain.names import webhook_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.domain.webhooks import WebhookDelivered, WebhookInput
from darkroom.housekeeping.housekeeper import Housekeeper
from darkroom.signing import deployment_secret, webhook_secret
from tests.support.fakes.chaos import Chaos
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.workflow import WorkflowStack, running_stack
from tests.support.until import until
from tests.support.webhooks.name_server import NameServer
from tests.support.webhooks.receiver import Got, Receiver
from workflows import policies
from workflows.webhook import WebhookWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOPBACK = "127.0.0.0/8"


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server skips timers, not the back-off of activities."""
    quick = RetryPolicy(initial_interval=timedelta(milliseconds=20), maximum_interval=timedelta(milliseconds=40))
    monkeypatch.setitem(policies.WEBHOOK, "retry_policy", quick)


@asynccontextmanager
async def stack_of(
    temporal: TemporalClient, home: Path, provider: ScriptedProvider | None = None, **settings: Any
) -> AsyncIterator[WorkflowStack]:
    names = NameServer({"shop.example": "127.0.0.1", "inside.example": "169.254.169.254"})
    settings = {"webhook_allowed_networks": (LOOPBACK,), "stage_concurrency": 2, **settings}
    async with running_stack(temporal, home, provider, resolver=names, **settings) as stack:
        yield stack


async def webhook_of(stack: WorkflowStack, job_id: UUID) -> WorkflowHandle[WebhookWorkflow, WebhookDelivered]:
    """The workflow that tells the end of the job's present run."""
    name = webhook_workflow_id(job_id, (await stack.row(job_id)).run_id)
    return stack.temporal.get_workflow_handle_for(WebhookWorkflow.run, name)


async def status_of(handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionStatus | None:
    return (await handle.describe()).status


def verified(stack: WorkflowStack, got: Got) -> dict[str, Any]:
    return got.verified(webhook_secret(deployment_secret(stack.parts.settings), stack.user_id))


async def test_a_completed_job_is_told_to_a_receiver_that_verifies(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.order(3, webhookUrl=f"http://shop.example:{receiver.port}/hooks")
        receipt = await stack.client.result(job_id)
        [got] = await receiver.events(1)
        assert (await (await webhook_of(stack, job_id)).result()).attempt == 1
        event = verified(stack, got)
        assert (event["type"], event["data"]["status"]) == ("job.completed", "completed")
        assert (event["data"]["total_images"], event["data"]["completed_images"]) == (3, 3)
        assert event["data"]["receipt"] == receipt.model_dump(mode="json")
        assert len(receiver.received) == 1


async def test_a_failed_job_is_told_with_its_reason(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 0): [Act.STOP]})
    async with Receiver() as receiver, stack_of(skipping_client, home, provider) as stack:
        await stack.client.result(await stack.order(1, webhook_url=receiver.hook))
        [got] = await receiver.events(1)
        event = verified(stack, got)
        assert (event["type"], event["data"]["failed_images"]) == ("job.failed", 1)
        assert event["data"]["error_message"] == "the key is not valid; set GEMINI_API_KEY"


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
        job_id = await stored(stack, document, receiver.hook if by == "the command line" else None)
        assert (await stack.client.cancel(job_id)).success
        assert not (await stack.client.cancel(job_id)).success
        [got] = await receiver.events(1)
        event = verified(stack, got)
        assert (event["type"], event["data"]["total_images"], event["data"]["run_id"]) == ("job.cancelled", 2, None)
        assert got.id == f"msg_{job_id}"


async def stored(stack: WorkflowStack, document: dict[str, JsonValue], webhook_url: str | None = None) -> UUID:
    """A pending job whose workflow was not started."""
    job_id = uuid4()
    new = NewJob(
        job_id=job_id,
        job_type="pipeline_stage",
        user_id=stack.user_id,
        production_id=None,
        document=document,
        total_images=2,
        priority=3,
        webhook_url=webhook_url,
    )
    assert await stack.parts.records.create_job(new)
    return job_id


async def test_a_front_ends_order_that_is_rejected_is_told(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        document: dict[str, JsonValue] = {"stages": [{"prompt": "", "quantity": 2}], "webhookUrl": receiver.hook}
        job_id = await stored(stack, document)
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
            "webhook_url": "https://inside.example/",
        }
        job_id = await stored(stack, document)
        await stack.client.start_waiting_jobs()
        receipt = await stack.client.result(job_id)
        assert receipt.status is JobStatus.FAILED
        assert (receipt.error_message or "").startswith("webhook_url: inside.example resolves to a link-local address")
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


async def test_an_event_is_sent_until_it_is_taken_always_under_one_id(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with Receiver("500", "nothing") as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.client.result(job_id)
        tries = await receiver.events(3)
        assert (await (await webhook_of(stack, job_id)).result()).attempt == 3
        assert len({(got.id, got.body) for got in tries}) == 1
        assert [verified(stack, got)["data"]["job_id"] for got in tries] == [str(job_id)] * 3
        assert len(receiver.received) == 3


async def test_a_redirect_is_not_followed_however_often_it_is_given(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with Receiver("302", "302") as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.client.result(job_id)
        await (await webhook_of(stack, job_id)).result()
        assert [got.path for got in receiver.received] == ["/hooks?token=xyzzy"] * 3


async def test_a_receiver_that_is_gone_for_good_says_so_once(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver(then="410") as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.order(1, webhook_url=receiver.hook)
        assert (await stack.client.result(job_id)).status is JobStatus.COMPLETED
        handle = await webhook_of(stack, job_id)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert len(receiver.received) == 1


async def test_a_receiver_that_never_takes_it_is_given_up_when_the_time_is_over(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(policies.WEBHOOK, "schedule_to_close_timeout", timedelta(seconds=3))
    async with Receiver(then="500") as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.client.result(job_id)
        handle = await webhook_of(stack, job_id)
        with pytest.raises(WorkflowFailureError) as given_up:
            await handle.result()
        assert "returned 500" in str(innermost(given_up.value.cause))
        assert len(receiver.received) > 1
        assert (await stack.row(job_id)).status is JobStatus.COMPLETED


async def test_a_name_that_leads_inside_by_then_is_final_and_harms_no_job(
    skipping_client: TemporalClient, home: Path
) -> None:
    names = NameServer({"shop.example": "93.184.216.34;93.184.216.34;127.0.0.1"})
    async with Receiver() as receiver, running_stack(skipping_client, home, resolver=names) as stack:
        job_id = await stack.order(1, webhook_url=f"https://shop.example:{receiver.port}/")
        assert (await stack.client.result(job_id)).status is JobStatus.COMPLETED
        with pytest.raises(WorkflowFailureError):
            await (await webhook_of(stack, job_id)).result()
        assert len(names.asked) == 3, "by the order, by its opening, by its one sending"
        assert receiver.accepted == 0


async def test_a_job_ends_while_its_receiver_hangs(skipping_client: TemporalClient, home: Path) -> None:
    async with stack_of(skipping_client, home) as stack, Receiver("silence") as receiver:
        job_id = await stack.order(2, webhook_url=receiver.hook)
        assert (await stack.client.result(job_id)).delivered == 2
        handle = await webhook_of(stack, job_id)
        await receiver.events(1)
        assert await status_of(handle) is WorkflowExecutionStatus.RUNNING
        assert await status_of(stack.handle(job_id)) is WorkflowExecutionStatus.COMPLETED
        await handle.terminate()


async def test_many_receivers_that_hang_keep_no_other_job_waiting(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.WEBHOOKS_AT_ONCE", 1)
    async with stack_of(skipping_client, home) as stack, Receiver(then="silence") as receiver:
        hanging = [await stack.order(1, webhook_url=receiver.hook) for _ in range(3)]
        for job_id in hanging:
            await stack.client.result(job_id)
        assert (await stack.client.result(await stack.order(2))).delivered == 2
        for job_id in hanging:
            await (await webhook_of(stack, job_id)).terminate()


async def test_a_webhook_that_cannot_be_started_fails_no_job(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver() as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.held(1, webhook_url=receiver.hook, calls=1)
        run_id = (await stack.row(job_id)).run_id
        other = await stack.temporal.start_workflow(
            WebhookWorkflow.run,
            WebhookInput(job_id=job_id, run_id=run_id),
            id=webhook_workflow_id(job_id, run_id),
            task_queue="nobody",
        )
        stack.provider.gate.set()
        assert (await stack.client.result(job_id)).status is JobStatus.COMPLETED
        await other.terminate()
        assert len(receiver.received) == 0


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


async def test_everything_that_is_executed_twice_is_one_event(skipping_client: TemporalClient, home: Path) -> None:
    chaos = Chaos(seed=7, share=1.0)
    names = NameServer({})
    settings: dict[str, Any] = {"webhook_allowed_networks": (LOOPBACK,)}
    async with (
        Receiver() as receiver,
        running_stack(skipping_client, home, resolver=names, interceptors=[chaos], **settings) as stack,
    ):
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.client.result(job_id)
        await (await webhook_of(stack, job_id)).result()
        assert len(receiver.received) > 1
        assert len({(got.id, got.body) for got in receiver.received}) == 1


async def test_an_operator_sends_an_event_once_more(skipping_client: TemporalClient, home: Path) -> None:
    async with Receiver(then="500") as receiver, stack_of(skipping_client, home) as stack:
        job_id = await stack.order(1, webhook_url=receiver.hook)
        await stack.client.result(job_id)
        await receiver.events(2)
        ending = await stack.parts.records.ending(job_id, (await stack.row(job_id)).run_id)
        assert ending is not None
        delivered, words = await first_attempt(await start_webhook(stack.temporal, ending, again=True))
        assert not delivered
        assert "returned 500" in words
        receiver.answer("200")
        assert await first_attempt(await start_webhook(stack.temporal, ending, again=True)) == (True, "delivered")
        taken = list(receiver.received)
        assert await first_attempt(await start_webhook(stack.temporal, ending, again=True)) == (True, "delivered")
        assert receiver.received[-1].id == taken[-1].id == taken[0].id
        receiver.answer("410")
        delivered, words = await first_attempt(await start_webhook(stack.temporal, ending, again=True))
        assert not delivered
        assert "accepts no more events" in words
