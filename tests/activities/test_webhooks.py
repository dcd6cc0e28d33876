"""Sending an event: from real records, past the real egress policy, to a real receiver."""

import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from uuid import UUID, uuid4

import pytest
from standardwebhooks import WebhookVerificationError
from structlog.testing import capture_logs
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.webhooks import WebhookActivities
from darkroom.domain.customers_words import for_customers
from darkroom.domain.jobs import End
from darkroom.domain.webhooks import WebhookDelivered, WebhookInput
from darkroom.records.sqlite import SqliteRecords
from darkroom.signing import webhook_key, webhook_secret
from darkroom.webhooks.egress_policy import EgressPolicy, Resolver
from darkroom.webhooks.sending import HttpSender
from tests.support.records.fixture import Job, RecordsFixture
from tests.support.records.tables import SqliteTables
from tests.support.webhooks.hostile_addresses import HOSTS, LEADING_THERE
from tests.support.webhooks.name_server import NameServer
from tests.support.webhooks.receiver import Receiver

SECRET = b"the secret of the deployment"
NOBODY = NameServer({})
SENDER = HttpSender()


@dataclass
class Post:
    """Records with a job that has ended, and the activity over them."""

    fixture: RecordsFixture

    async def ended(self, url: str, *, anonymous: bool = False) -> Job:
        """A job that was cancelled after its first picture, whose order named this receiver, whatever it is."""
        job = self.fixture.job(None if anonymous else await self.fixture.member())
        job.order = job.order.model_copy(update={"webhook_url": url})
        await job.create()
        await job.open()
        await job.deliver([0])
        await job.close(End.CANCELLED)
        return job

    async def send(
        self, job: Job, *, names: Resolver = NOBODY, allowed: str | None = "127.0.0.0/8", attempt: int = 1
    ) -> WebhookDelivered:
        egress = EgressPolicy(names, [ip_network(allowed)] if allowed else [])
        activities = WebhookActivities(
            self.fixture.records, egress, SENDER, lambda user_id: webhook_key(SECRET, user_id)
        )
        environment = ActivityEnvironment()
        retries = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(hours=2))
        environment.info = dataclasses.replace(environment.info, attempt=attempt, retry_policy=retries)
        told = WebhookInput(job_id=job.job_id, run_id=job.run)
        delivered: WebhookDelivered = await environment.run(activities.send_webhook, told)
        return delivered


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    records = SqliteRecords(":memory:")
    yield Post(RecordsFixture(records, SqliteTables(records)))
    await records.close()


async def test_the_event_is_what_the_specification_says_and_verifies(post: Post) -> None:
    async with Receiver() as receiver:
        job = await post.ended(receiver.hook)
        assert await post.send(job) == WebhookDelivered(status=200, attempt=1)
        [got] = receiver.received
    user_id = job.order.user_id
    assert user_id is not None
    event = got.verified(webhook_secret(SECRET, user_id))
    assert set(event) == {"type", "timestamp", "data"}
    assert event["type"] == "job.cancelled"
    assert event["timestamp"].endswith("Z")
    data = event["data"]
    assert data["job_id"] == str(job.job_id)
    assert (data["status"], data["total_images"], data["completed_images"], data["failed_images"]) == (
        *("cancelled", 3, 1, 0),
    )
    receipt = await post.fixture.records.receipt(job.job_id)
    assert receipt is not None
    assert data["receipt"] == for_customers(receipt).model_dump(mode="json")
    assert got.id == f"msg_{job.run}"
    assert got.path == "/hooks?token=xyzzy"


async def test_one_users_secret_verifies_no_other_users_event(post: Post) -> None:
    async with Receiver() as receiver:
        job = await post.ended(receiver.hook)
        await post.send(job)
        await post.send(await post.ended(receiver.hook, anonymous=True))
        users, nobodys = receiver.received
    nobodys.verified(webhook_secret(SECRET, None))
    for wrong in (webhook_secret(SECRET, uuid4()), webhook_secret(SECRET, None), webhook_secret(b"x", owner(job))):
        with pytest.raises(WebhookVerificationError):
            users.verified(wrong)


def owner(job: Job) -> UUID:
    assert job.order.user_id is not None
    return job.order.user_id


async def test_sent_twice_it_is_one_event_with_one_id_and_one_body(post: Post) -> None:
    async with Receiver() as receiver:
        job = await post.ended(receiver.hook)
        before = await post.fixture.dump()
        await post.send(job, attempt=1)
        await post.send(job, attempt=2)
        first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    assert first.verified(webhook_secret(SECRET, owner(job))) == second.verified(webhook_secret(SECRET, owner(job)))
    assert await post.fixture.dump() == before


async def refused(post: Post, job: Job, names: Resolver, allowed: str | None = None) -> str:
    """The words of a final refusal."""
    with pytest.raises(ApplicationError) as caught:
        await post.send(job, names=names, allowed=allowed)
    assert (caught.value.type, caught.value.non_retryable) == ("WebhookRefused", True)
    return str(caught.value)


@pytest.mark.parametrize("host", HOSTS)
async def test_a_hostile_address_that_came_into_the_records_is_not_connected_to(post: Post, host: str) -> None:
    async with Receiver() as receiver:
        for scheme in ("http", "https"):
            await refused(post, await post.ended(f"{scheme}://{host}:{receiver.port}/hook"), NOBODY)
        assert receiver.accepted == 0


@pytest.mark.parametrize("host", LEADING_THERE)
async def test_a_name_that_leads_to_one_is_not_connected_to(post: Post, host: str) -> None:
    async with Receiver() as receiver:
        job = await post.ended(f"https://{host}:{receiver.port}/hook")
        await refused(post, job, NameServer(LEADING_THERE))
        assert receiver.accepted == 0


async def test_a_name_that_led_elsewhere_when_it_was_ordered_is_not_connected_to(post: Post) -> None:
    async with Receiver() as receiver:
        url = f"https://shop.example:{receiver.port}/hook"
        names = NameServer({"shop.example": "93.184.216.34;127.0.0.1"})
        await EgressPolicy(names).admit(url)
        await refused(post, await post.ended(url), names)
        assert receiver.accepted == 0


async def test_a_name_that_changes_after_the_check_is_not_asked_again(post: Post) -> None:
    async with Receiver() as receiver:
        names = NameServer({"shop.example": "127.0.0.1;169.254.169.254"})
        job = await post.ended(f"http://shop.example:{receiver.port}/hook")
        assert (await post.send(job, names=names)).status == 200
        assert names.asked == ["shop.example"]
        assert receiver.received[0].headers["host"] == f"shop.example:{receiver.port}"
        # The next attempt asks again, and takes nothing from the last one.
        await refused(post, job, names, "127.0.0.0/8")
        assert receiver.accepted == 1


async def test_a_redirect_into_the_network_is_not_followed(post: Post) -> None:
    async with Receiver("302") as receiver:
        with pytest.raises(ApplicationError, match="returned 302") as caught:
            await post.send(await post.ended(receiver.hook))
        assert not caught.value.non_retryable
        assert receiver.accepted == 1


async def test_gone_is_final(post: Post) -> None:
    async with Receiver("410") as receiver:
        with pytest.raises(ApplicationError) as caught:
            await post.send(await post.ended(receiver.hook))
    assert (caught.value.type, caught.value.non_retryable) == ("ReceiverGone", True)


async def test_what_the_receiver_asked_us_to_wait_is_the_next_delay(post: Post) -> None:
    async with Receiver("429", "500") as receiver:
        job = await post.ended(receiver.hook)
        found = []
        for _ in range(2):
            with pytest.raises(ApplicationError) as caught:
                await post.send(job)
            found.append(caught.value.next_retry_delay)
    asked, ours = found
    assert asked == timedelta(hours=1)
    assert ours is not None
    assert timedelta(seconds=3) < ours < timedelta(seconds=7)


async def test_a_name_that_does_not_resolve_is_tried_again(post: Post) -> None:
    with pytest.raises(ApplicationError) as caught:
        await post.send(await post.ended("https://not-yet.example/"))
    assert (caught.value.type, caught.value.non_retryable) == ("ReceiverUnavailable", False)


@pytest.mark.parametrize("answer", ["200", "500", "nothing", "410"])
async def test_what_may_be_secret_in_the_address_is_neither_logged_nor_told(post: Post, answer: str) -> None:
    async with Receiver(answer) as receiver:
        job = await post.ended(receiver.hook)
        told = ""
        with capture_logs() as logged:
            try:
                await post.send(job)
            except ApplicationError as error:
                told = f"{error} {error.details}"
    assert len(logged) == 1
    assert logged[0]["job_id"] == str(job.job_id)
    assert "xyzzy" not in told + str(logged)


async def test_a_run_with_nothing_to_tell_is_no_reason_to_try_again(post: Post) -> None:
    job = post.fixture.job(await post.fixture.member())
    await job.create()
    await job.open()
    for _ in ("it runs", "it has no receiver"):
        with pytest.raises(ApplicationError) as caught:
            await post.send(job)
        assert caught.value.non_retryable
        await job.close(End.CANCELLED)
