"""Workers over the parts: what serves which queue, and how they stop."""

import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from enum import StrEnum
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from activities.books import BookActivities
from activities.calls import ProviderCalls
from activities.housekeeping import HousekeepingActivities
from activities.images import ImageActivities
from activities.jobs import JobActivities, Pace
from activities.outages import OutageLines
from activities.refreshing import RowRefresher
from activities.waiting import WaitingActivities
from activities.webhooks import WebhookActivities
from darkroom.bootstrap import Parts
from darkroom.domain.money import Terms
from darkroom.domain.names import TaskQueue
from darkroom.housekeeping import Housekeeper
from darkroom.lookout import Lookout
from darkroom.signing import deployment_secret, webhook_key
from workflows.housekeeping import HousekeepingWorkflow
from workflows.pipeline_job import PipelineJobWorkflow
from workflows.policies import PROVIDER_ATTEMPTS
from workflows.stage_batch import StageBatchWorkflow
from workflows.waiting_jobs import StartWaitingJobsWorkflow
from workflows.webhook import WebhookWorkflow

GRACE_ABOVE_PROVIDER = timedelta(seconds=60)
HEARTBEAT_THROTTLE = timedelta(seconds=3)
DELIVER_PATIENCE = 10.0
"""Seconds that a worker which stops waits for the pictures it made to be settled; they are staged anyway."""
PUBLISH_SLOTS_A_CORE = 8
WEBHOOKS_AT_ONCE = 50
"""Each waits at most 30 s for its receiver, and costs a connection."""


class Role(StrEnum):
    """What a worker process serves."""

    ALL = "all"
    ORCHESTRATE = "orchestrate"
    GENERATE = "generate"
    PUBLISH = "publish"


def image_activities(parts: Parts, refresher: RowRefresher, *, settles_here: bool = True) -> ImageActivities:
    """The activities of an image over these parts."""
    calls = ProviderCalls(parts.records, parts.storage, parts.providers, parts.pictures, PROVIDER_ATTEMPTS)
    return ImageActivities(parts.records, parts.storage, calls, parts.pictures, refresher, settles_here=settles_here)


def _webhooks(parts: Parts) -> WebhookActivities:
    # The client costs a tenth of a second; processes that send nothing do not import it.
    from darkroom.webhooks.sending import HttpSender  # noqa: PLC0415

    secret = deployment_secret(parts.settings)
    return WebhookActivities(parts.records, parts.guard, HttpSender(), lambda user_id: webhook_key(secret, user_id))


@asynccontextmanager
async def running_workers(
    parts: Parts, client: Client, roles: Collection[Role] = (Role.ALL,), interceptors: Sequence[Interceptor] = ()
) -> AsyncIterator[list[Worker]]:
    """Workers for the roles; leaving waits until what is under way is finished."""
    settings = parts.settings
    refresher = RowRefresher(parts.records)
    serves_all = Role.ALL in roles or set(roles) == set(Role) - {Role.ALL}
    images = image_activities(parts, refresher, settles_here=serves_all)
    terms = Terms(
        unit_price=settings.image_credit_price,
        max_top_ups=settings.max_top_ups,
        storybook_max_top_ups=settings.storybook_max_top_ups,
        providers=settings.providers,
    )
    pace = Pace(
        top_up_delay_seconds=settings.top_up_delay,
        stage_concurrency=settings.stage_concurrency,
        provider_timeout_seconds=settings.provider_timeout.total_seconds(),
    )
    jobs = JobActivities(parts.records, parts.storage, parts.intake, terms, pace)
    books = BookActivities(parts.records, parts.storage, parts.pictures)
    housekeeping = HousekeepingActivities(Housekeeper(parts.records, parts.storage, client).tidy)
    waiting = WaitingActivities(Lookout(parts.desk(client)).look)
    shared: dict[str, Any] = {
        "interceptors": [OutageLines(), *interceptors],
        "graceful_shutdown_timeout": settings.provider_timeout + GRACE_ABOVE_PROVIDER,
        "max_heartbeat_throttle_interval": HEARTBEAT_THROTTLE,
        "default_heartbeat_throttle_interval": HEARTBEAT_THROTTLE,
    }
    workers: list[Worker] = []
    if {Role.ALL, Role.ORCHESTRATE} & set(roles):
        workers.append(
            Worker(
                client,
                task_queue=TaskQueue.ORCHESTRATE,
                workflows=[
                    PipelineJobWorkflow,
                    StageBatchWorkflow,
                    WebhookWorkflow,
                    StartWaitingJobsWorkflow,
                    HousekeepingWorkflow,
                ],
                activities=[
                    jobs.open_job,
                    jobs.set_control,
                    jobs.next_ordinals,
                    jobs.record_progress,
                    jobs.delivered_page,
                    jobs.close_job,
                    jobs.remove_leftovers,
                    books.finish_book,
                    waiting.start_waiting_jobs,
                    housekeeping.tidy,
                    images.find_staged,
                    images.attach,
                    images.credit,
                ],
                **shared,
            )
        )
        workers.append(
            Worker(
                client,
                task_queue=TaskQueue.WEBHOOKS,
                activities=[_webhooks(parts).send_webhook],
                max_concurrent_activities=WEBHOOKS_AT_ONCE,
                **shared,
            )
        )
    if {Role.ALL, Role.PUBLISH} & set(roles):
        workers.append(
            Worker(
                client,
                task_queue=TaskQueue.PUBLISH,
                activities=[images.upload],
                max_concurrent_activities=PUBLISH_SLOTS_A_CORE * (os.cpu_count() or 1),
                **shared,
            )
        )
    if {Role.ALL, Role.GENERATE} & set(roles):
        workers.append(
            Worker(
                client,
                task_queue=TaskQueue.GENERATE,
                activities=[images.generate],
                max_concurrent_activities=settings.provider_slots,
                max_task_queue_activities_per_second=settings.provider_max_per_second,
                **shared,
            )
        )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(refresher.close)
        # They stop in reverse: no new calls first, then what these calls made is delivered, then the rest.
        for worker in workers:
            await stack.enter_async_context(worker)
            if worker.task_queue == TaskQueue.PUBLISH and serves_all:
                stack.push_async_callback(images.until_settled, DELIVER_PATIENCE)
        yield workers
