"""Runs a Darkroom worker until SIGTERM or Ctrl-C.

    python worker.py [--role all|orchestrate|generate|publish] ...

The first signal stops new work and waits for what is in progress; the second exits immediately, and Temporal
gives the work to another worker. Exit status: 0 stopped, 1 records or storage cannot be used, 2 invalid
settings, 3 no Temporal server, 130 exited immediately.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
import uvloop
from temporalio.client import Client as TemporalClient
from temporalio.worker import Interceptor, UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from activities.composition import image_activities, job_activities, local_workers, webhook_activities
from activities.housekeeping import HousekeepingActivities
from activities.offers import keep_offering
from activities.outages import OutageLines
from activities.refreshing import RowRefresher
from activities.staging import Staging
from activities.stalls import StallLines
from activities.storybook import BookActivities
from activities.waiting import WaitingActivities
from activities.worker_reports import WorkerReportActivities
from darkroom import logs
from darkroom._version import __version__
from darkroom.allocator import give_back_large_buffers
from darkroom.bootstrap import Parts, open_parts
from darkroom.client.connection import connect, ensure_search_attributes
from darkroom.client.lost_work import giving_back_lost_work, identity_of
from darkroom.client.schedules import ensure_schedules
from darkroom.client.versions import warn_without_current_version, worker_deployment
from darkroom.client.waiting_jobs import WaitingJobs
from darkroom.domain.errors import DarkroomError, ServerNotReachable, SettingRejected
from darkroom.domain.names import TaskQueue
from darkroom.housekeeping.housekeeper import Housekeeper
from darkroom.settings import Settings, read_settings
from workflows.housekeeping import HousekeepingWorkflow
from workflows.pipeline_job import PipelineJobWorkflow
from workflows.policies import PROVIDER_ATTEMPTS
from workflows.signals import OddSignalsDropped
from workflows.stage_batch import StageBatchWorkflow
from workflows.waiting_jobs import StartWaitingJobsWorkflow
from workflows.webhook import WebhookWorkflow
from workflows.worker_reports import WorkerReportsWorkflow

log = structlog.get_logger("darkroom.worker")

AT_ONCE = 130
GRACE_ABOVE_PROVIDER = timedelta(seconds=60)
HEARTBEAT_THROTTLE = timedelta(seconds=3)
DELIVER_PATIENCE = 10.0
"""Seconds that a worker which stops waits for the pictures it made to be settled; they are staged anyway."""
PUBLISH_SLOTS_A_CORE = 8
WEBHOOKS_AT_ONCE = 50
"""Each waits at most 30 s for its receiver and uses one connection."""


class Role(StrEnum):
    """What a worker process serves."""

    ALL = "all"
    ORCHESTRATE = "orchestrate"
    GENERATE = "generate"
    PUBLISH = "publish"


@asynccontextmanager
async def running_workers(
    parts: Parts,
    temporal: TemporalClient,
    roles: Collection[Role] = (Role.ALL,),
    interceptors: Sequence[Interceptor] = (),
    runner: WorkflowRunner | None = None,
) -> AsyncIterator[list[Worker]]:
    """Workers for the roles; leaving the context waits until what is in progress is finished.

    Args:
        parts: what they work with.
        temporal: whose tasks they take.
        roles: which ones.
        interceptors: in addition to our own.
        runner: of the workflows; by default none in a sandbox, which costs a third of a worker's time
            (docs/decisions/0007-no-sandbox.md).
    """
    give_back_large_buffers()
    registered = local_workers(parts)
    with registered.joined() as worker_id:
        runner = runner or UnsandboxedWorkflowRunner()
        async with (
            _serving(parts, temporal, roles, interceptors, worker_id=worker_id, runner=runner) as workers,
            giving_back_lost_work(temporal, registered),
        ):
            yield workers


@asynccontextmanager
async def _serving(
    parts: Parts,
    temporal: TemporalClient,
    roles: Collection[Role],
    interceptors: Sequence[Interceptor],
    *,
    worker_id: str | None,
    runner: WorkflowRunner,
) -> AsyncIterator[list[Worker]]:
    settings = parts.settings
    refresher = RowRefresher(parts.records)
    serves_all = Role.ALL in roles or set(roles) == set(Role) - {Role.ALL}
    staging = Staging(parts.storage, parts.beside)
    client = parts.client(temporal)
    images = image_activities(
        parts,
        refresher,
        staging,
        last_attempt=PROVIDER_ATTEMPTS,
        settles_here=serves_all,
        worker=worker_id,
        cancel_by_row=client.cancel_by_row,
    )
    jobs = job_activities(parts)
    books = BookActivities(parts.records, parts.storage, parts.pictures)
    report = WorkerReportActivities(parts.report).report_worker
    keep_pictures = None if (days := settings.keep_pictures_days) is None else timedelta(days=days)
    housekeeping = HousekeepingActivities(Housekeeper(parts.records, parts.storage, temporal, keep_pictures).tidy)
    waiting = WaitingActivities(WaitingJobs(client).start)
    stalls = StallLines(parts.records, timedelta(seconds=settings.stalled_after))
    shared: dict[str, Any] = {
        "interceptors": [OutageLines(), stalls, OddSignalsDropped(), *interceptors],
        "graceful_shutdown_timeout": settings.provider_timeout + GRACE_ABOVE_PROVIDER,
        "max_heartbeat_throttle_interval": HEARTBEAT_THROTTLE,
        "default_heartbeat_throttle_interval": HEARTBEAT_THROTTLE,
        **_build(settings),
        # Payloads are in no other storage, and one visited at a time costs no task of the event loop.
        "max_workflow_task_external_storage_concurrency": 1,
        "identity": None if worker_id is None else identity_of(temporal, worker_id),
    }
    workers: list[Worker] = []
    if {Role.ALL, Role.ORCHESTRATE} & set(roles):
        workers.append(
            Worker(
                temporal,
                task_queue=TaskQueue.ORCHESTRATE,
                workflows=[
                    PipelineJobWorkflow,
                    StageBatchWorkflow,
                    WebhookWorkflow,
                    StartWaitingJobsWorkflow,
                    HousekeepingWorkflow,
                    WorkerReportsWorkflow,
                ],
                activities=[
                    jobs.open_job,
                    jobs.set_control,
                    jobs.next_ordinals,
                    jobs.record_progress,
                    jobs.record_faults,
                    jobs.delivered_page,
                    jobs.close_job,
                    jobs.remove_leftovers,
                    books.finish_book,
                    waiting.start_waiting_jobs,
                    housekeeping.tidy,
                    images.find_staged,
                    images.attach,
                    images.credit,
                    images.attach_group,
                    images.credit_group,
                    report,
                ],
                workflow_runner=runner,
                **shared,
            )
        )
        workers.append(
            Worker(
                temporal,
                task_queue=TaskQueue.WEBHOOKS,
                activities=[webhook_activities(parts).send_webhook],
                max_concurrent_activities=WEBHOOKS_AT_ONCE,
                **shared,
            )
        )
    if {Role.ALL, Role.PUBLISH} & set(roles):
        workers.append(
            Worker(
                temporal,
                task_queue=TaskQueue.PUBLISH,
                activities=[images.upload, images.upload_group, report],
                max_concurrent_activities=PUBLISH_SLOTS_A_CORE * (os.cpu_count() or 1),
                **shared,
            )
        )
    if {Role.ALL, Role.GENERATE} & set(roles):
        workers.append(
            Worker(
                temporal,
                task_queue=TaskQueue.GENERATE,
                activities=[images.generate, report],
                max_concurrent_activities=settings.provider_slots,
                max_task_queue_activities_per_second=settings.provider_max_per_second,
                **shared,
            )
        )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(refresher.close)
        stack.push_async_callback(_end, asyncio.create_task(staging.keep_staging()))
        stack.push_async_callback(_end, asyncio.create_task(stalls.keep_looking()))
        if {Role.ALL, Role.GENERATE} & set(roles):
            stack.push_async_callback(_end, asyncio.create_task(keep_offering(parts.records, parts.offer())))
        # They stop in reverse: no new calls first, then what these calls made is delivered, then the rest.
        for worker in workers:
            await stack.enter_async_context(worker)
            if worker.task_queue == TaskQueue.PUBLISH and serves_all:
                stack.push_async_callback(images.until_settled, DELIVER_PATIENCE)
        yield workers


def _build(settings: Settings) -> dict[str, Any]:
    """Which code the worker runs. Without a deployment the SDK would hash all modules, which takes 0.2 s."""
    deployment = worker_deployment(settings)
    return {"build_id": f"darkroom-{__version__}"} if deployment is None else {"deployment_config": deployment}


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def serve(settings: Settings, roles: list[Role]) -> None:
    """Work until the first signal, then finish what is in progress.

    Raises:
        ServerNotReachable: no Temporal server.
    """
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            log.warning("worker exited immediately")
            sys.stderr.flush()
            os._exit(AT_ONCE)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    client = await connect(settings, metrics_address=settings.metrics_address)
    await ensure_search_attributes(client)
    if {Role.ALL, Role.ORCHESTRATE} & set(roles):
        # Front ends insert jobs into Supabase; the embedded default's are started by `up`.
        pick_up = timedelta(seconds=settings.pick_up_every) if settings.on_supabase else None
        housekeeping = timedelta(seconds=settings.housekeeping_every)
        await ensure_schedules(client, waiting_every=pick_up, housekeeping_every=housekeeping)
    async with open_parts(settings) as parts, running_workers(parts, client, roles):
        log.info("worker started", roles=[str(role) for role in roles], uses=parts.describe())
        await warn_without_current_version(client, settings)
        await stop.wait()
        log.info("worker stopping", note="finishing what is in progress; a second signal exits immediately")
    log.info("worker stopped")


def main() -> int:
    """Run the program and return its exit status."""
    parser = argparse.ArgumentParser(description="Run a Darkroom worker until SIGTERM or Ctrl-C.")
    parser.add_argument(
        "--role",
        action="append",
        choices=[str(role) for role in Role],
        help="the role to serve; repeatable (default: all)",
    )
    chosen = parser.parse_args().role or [Role.ALL]
    try:
        settings = read_settings()
        logs.configure(settings)
        uvloop.run(serve(settings, [Role(role) for role in chosen]))
    except DarkroomError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one line a user reads
        return 2 if isinstance(error, SettingRejected) else 3 if isinstance(error, ServerNotReachable) else 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A process that used a Temporal client aborts now and then while the interpreter shuts down
    # (sdk-python #300), which would turn success into status 134.
    os._exit(status)
