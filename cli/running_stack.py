"""What `up` runs once there is a server: workers, the page, and jobs that wait to be started."""

import shlex
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError

from cli.invocation import command
from cli.output import Output, plural
from cli.serving import running_api
from cli.stopping import Stop
from darkroom.bootstrap import Parts, open_parts
from darkroom.client.connection import connect, connect_to, ensure_search_attributes
from darkroom.client.schedules import ensure_schedules
from darkroom.client.temporal_faults import explained
from darkroom.client.waiting_jobs import WaitingJobs
from darkroom.domain.errors import Retryable
from darkroom.embedded.address import EmbeddedServer
from darkroom.settings import Settings
from worker import running_workers

log = structlog.get_logger("darkroom.up")


async def run_stack(
    settings: Settings,
    server: EmbeddedServer | None,
    serve_web_ui: Callable[[], Awaitable[None]],
    *,
    api_port: int | None,
    stop: Stop,
    output: Output,
) -> None:
    """Run it until a stop is requested.

    Args:
        settings: of this process.
        server: ours; None for the one that the settings name.
        serve_web_ui: of our server, once jobs are being worked on.
        api_port: where the page and the API are served; None when they are not.
        stop: Ctrl-C and SIGTERM.
        output: says what runs where, and at the end what is left.
    """
    async with AsyncExitStack() as stack:
        metrics = settings.metrics_address
        temporal = await (connect_to(server, metrics) if server else connect(settings, metrics_address=metrics))
        await ensure_search_attributes(temporal)
        parts = await stack.enter_async_context(open_parts(settings))
        await parts.client(None).open_local_account()
        # Before all that is not needed to go on with what was lost: it has the cores for itself.
        async with running_workers(parts, temporal):
            # Waiting jobs are started below: a workflow every few seconds would fill the embedded server's file.
            every = timedelta(seconds=settings.housekeeping_every)
            await ensure_schedules(temporal, waiting_every=None, housekeeping_every=every)
            await serve_web_ui()
            api = None if api_port is None else await stack.enter_async_context(running_api(settings, api_port))
            waiting = sum(settings.pick_up.takes(job) for job in await parts.records.unfinished_jobs())
            listens = api is None or await stop.wait_for(api.listens())
            if listens is not None:
                page = None if api_port is None else settings.api_address(api_port)
                _introduce(parts, temporal, server, page=page, listens=listens, waiting=waiting, output=output)
            waiting_jobs = WaitingJobs(parts.client(temporal))
            while not stop.requested.is_set():
                await _start_waiting(waiting_jobs)
                await stop.within(settings.pick_up_every)
            await _report_unfinished(parts, output)


def _introduce(
    parts: Parts,
    temporal: TemporalClient,
    server: EmbeddedServer | None,
    *,
    page: str | None,
    listens: bool,
    waiting: int,
    output: Output,
) -> None:
    address = temporal.service_client.config.target_host
    home = parts.settings.darkroom_home
    output.say(f"uses      {parts.describe()}")
    if page:
        output.say(f"page      {page} (HTTP API: {page}/docs){'' if listens else ' does not answer yet'}")
    output.say(f"Temporal  {address}{'' if server else ' (from TEMPORAL_ADDRESS or a profile)'}")
    if server:
        output.say(f"Web UI    {server.ui_url}")
    if waiting:
        output.say(f"resuming  {plural(waiting, 'unfinished job')}")
    where = "" if str(home) == ".darkroom" else f"DARKROOM_HOME={shlex.quote(str(home))} "
    output.say(f"submit    {where}{command('submit FILE --watch')}")
    output.say("stop      Ctrl-C; twice to exit immediately", style="quiet")
    output.say()
    document: dict[str, Any] = {
        "address": address,
        "ui_url": server.ui_url if server else None,
        "page": page,
        "server_pid": server.pid if server else None,
        "provider": parts.settings.provider,
        "home": str(home),
        "unfinished_jobs": waiting,
    }
    output.result(document)


async def _start_waiting(waiting_jobs: WaitingJobs) -> None:
    try:
        await waiting_jobs.start()
    except (RPCError, Retryable) as error:
        log.warning(
            "waiting jobs could not be started", reason=explained(error) if isinstance(error, RPCError) else str(error)
        )


async def _report_unfinished(parts: Parts, output: Output) -> None:
    """Say what is still running, and that it resumes at the next start."""
    rows = await parts.records.unfinished_jobs()
    in_progress = 0
    output.say()
    for row in rows[:20]:
        progress = await parts.records.progress(row.job_id)
        calls = sum(stage.in_flight for stage in progress.stages) if progress else 0
        in_progress += calls
        delivered = f"{row.completed_images:,} of {row.total_images:,} delivered"
        output.say(f"job {row.job_id}  {delivered}, {plural(calls, 'call')} in progress")
    if len(rows) > 20:
        output.say(f"and {plural(len(rows) - 20, 'more job')}")
    if rows:
        output.say(f"{plural(len(rows), 'job resumes', 'jobs resume')} at the next `darkroom up`")
    waiting = f"waiting for {plural(in_progress, 'call')} in progress; " if in_progress else "stopping; "
    output.say(f"{waiting}press Ctrl-C again to exit immediately")
