"""An event is sent until it is taken, under one id, and no receiver harms a job."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from cli.webhooks import first_attempt
from darkroom.client.webhooks import start_webhook
from darkroom.contract import innermost
from darkroom.domain.names import webhook_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.domain.webhooks import WebhookInput
from tests.support.fakes.chaos import Chaos
from tests.support.stacks.webhooks import LOOPBACK, stack_of, verified, webhook_of
from tests.support.stacks.workflow import running_stack
from tests.support.webhooks.name_server import NameServer
from tests.support.webhooks.receiver import Receiver
from workflows import policies
from workflows.webhook import WebhookWorkflow

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("quick_webhooks")]


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
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        assert (await stack.handle(job_id).describe()).status is WorkflowExecutionStatus.COMPLETED
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
