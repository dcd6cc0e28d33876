"""Whether a deployment is ready: one finding for each thing that jobs need."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from darkroom.client.connection import connect
from darkroom.client.stuck_workflows import check_stuck
from darkroom.client.temporal_faults import explained
from darkroom.client.versions import check_versions
from darkroom.client.workers import queues_without_worker
from darkroom.contract import AskingWorkers
from darkroom.disk import free_bytes, lack_of_room
from darkroom.domain.errors import (
    DarkroomError,
    NamespaceUnknown,
    ProviderUnavailable,
    ServerNotReachable,
    StorageRefused,
    StorageUnavailable,
)
from darkroom.domain.findings import Finding
from darkroom.domain.movement import RecentCalls
from darkroom.domain.names import JOB_QUEUES, SearchAttribute, TaskQueue
from darkroom.domain.sentences import without_worker
from darkroom.domain.worker_reports import AskWorkers, WorkerReport
from darkroom.providers import ImageProvider, KeyedProvider
from darkroom.records.watching import WatchRecords
from darkroom.settings import Settings
from darkroom.storage import Storage

ANSWER_PATIENCE = timedelta(seconds=15)
LIVE = "worker"
SERVER, NAMESPACE, ATTRIBUTES, WORKERS, DISK = "Temporal", "namespace", "search attributes", "workers", "disk"
LATELY = timedelta(minutes=15)
"""How far back calls are looked at; retries of one are at most about a minute apart."""
PATIENCE = timedelta(seconds=5)
_SEE_SERVER = "see the Temporal server's log"


async def check_temporal(settings: Settings) -> list[Finding]:
    """A finding for the server, its namespace, the search attributes and the workers.

    Raises:
        SettingRejected: the server's address is invalid.
    """
    try:
        client = await connect(settings, PATIENCE)
    except NamespaceUnknown as error:
        reason, _, remedy = str(error).partition(": ")
        others = (Finding.unknown(what, "no such namespace") for what in (ATTRIBUTES, WORKERS))
        return [Finding.good(SERVER, "answers"), Finding.wrong(NAMESPACE, reason, remedy), *others]
    except ServerNotReachable as error:
        reason, _, remedy = str(error).partition(": ")
        others = (Finding.unknown(what, "no Temporal server") for what in (NAMESPACE, ATTRIBUTES, WORKERS))
        return [Finding.wrong(SERVER, reason, remedy), *others]
    address = client.service_client.config.target_host
    return [
        Finding.good(SERVER, f"{address} answers"),
        await _namespace(client),
        await _search_attributes(client),
        await check_workers(client),
        *await check_versions(client),
        *await check_stuck(client),
    ]


async def _namespace(client: Client) -> Finding:
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=PATIENCE
        )
    except RPCError as error:
        told = f"{client.namespace} could not be read: {explained(error)}"
        return Finding.wrong_by(NAMESPACE, told, _SEE_SERVER)
    return Finding.good(NAMESPACE, f"{client.namespace} exists")


async def _search_attributes(client: Client) -> Finding:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        there = (await client.operator_service.list_search_attributes(request, timeout=PATIENCE)).custom_attributes
    except RPCError as error:
        if error.status in (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED):
            return Finding.unknown(ATTRIBUTES, "not listed by this server; check its own interface (Temporal Cloud)")
        return Finding.wrong_by(ATTRIBUTES, explained(error), _SEE_SERVER)
    missing = [str(name) for name in SearchAttribute if name not in there]
    if missing:
        names = " ".join(f"--name {name} --type Keyword" for name in missing)
        return Finding.wrong(
            ATTRIBUTES, f"{', '.join(missing)} missing", f"`temporal operator search-attribute create {names}`"
        )
    return Finding.good(ATTRIBUTES, ", ".join(SearchAttribute))


async def check_writable(storage: Storage, what: str, place: str) -> Finding:
    """A finding for a storage: an object is written, read and removed."""
    key, data = f"staging/doctor/{uuid4()}", b"darkroom"
    try:
        await storage.put(key, data, "application/octet-stream")
        found = await storage.get(key)
        await storage.delete([key])
    except (StorageRefused, StorageUnavailable) as error:
        return Finding.wrong_by(what, str(error), "fix what it names, then check again")
    if found != data:
        return Finding.wrong(what, f"{place} returned other bytes than were written", "check what proxies or caches it")
    return Finding.good(what, f"{place} can be written, read and deleted from")


def check_disk(folder: Path) -> Finding:
    """A finding for the disk that holds DARKROOM_HOME."""
    try:
        free = free_bytes(folder)
    except OSError as error:
        return Finding.unknown(DISK, f"{folder}: {error.strerror or error}")
    full = lack_of_room(folder)
    if full is not None:
        return Finding.wrong_by(DISK, full, "make room on it")
    return Finding.good(DISK, f"{free / 1_000_000:,.0f} MB are free for {folder}")


async def providers_of_late(records: WatchRecords) -> dict[str, Finding]:
    """A finding for each provider that has answered jobs with nothing but faults lately."""
    try:
        calls = await records.recent_calls(datetime.now(UTC) - LATELY)
    except DarkroomError:
        return {}  # other findings say what is wrong with the records
    return {one.provider: _failing(one) for one in calls if one.failing}


def _failing(calls: RecentCalls) -> Finding:
    since = "" if calls.since is None else f" since {calls.since.astimezone(UTC):%H:%M} UTC"
    return Finding.wrong(
        f"provider {calls.provider}",
        f"its last {calls.faults:,} calls failed{since}: {calls.reason}",
        "check its status page and your account there; running jobs retry by themselves",
    )


async def check_workers(client: Client) -> Finding:
    """A finding for the workers: whether each task queue is served."""
    try:
        lacking = await queues_without_worker(client, tuple(TaskQueue))
    except RPCError as error:
        return Finding.unknown(WORKERS, explained(error))
    if lacking:
        return Finding.wrong_by(WORKERS, without_worker(lacking), "start a worker")
    return Finding.good(WORKERS, "serve all task queues")


async def ask_workers(settings: Settings) -> list[Finding]:
    """A finding for one worker of each task queue that pictures need: what it has, by its own account."""
    try:
        client = await connect(settings, PATIENCE)
        if TaskQueue.ORCHESTRATE in await queues_without_worker(client):
            return [Finding.unknown(LIVE, f"no worker serves the task queue {TaskQueue.ORCHESTRATE}")]
        answer = await client.execute_workflow(
            AskingWorkers.run,
            AskWorkers(queues=tuple(JOB_QUEUES)),
            id=f"doctor-{uuid4()}",
            task_queue=TaskQueue.ORCHESTRATE,
            execution_timeout=ANSWER_PATIENCE,
        )
    except (ServerNotReachable, RPCError, WorkflowFailureError) as error:
        return [Finding.unknown(LIVE, f"workers do not answer: {_why_silent(error)}")]
    silent = [
        Finding.wrong(f"{LIVE} {queue}", "no worker has answered in 8 s", "check that one runs and has a free place")
        for queue in answer.silent
    ]
    return [*map(_live, answer.reports), *silent]


def _why_silent(error: ServerNotReachable | RPCError | WorkflowFailureError) -> str:
    if isinstance(error, RPCError):
        return explained(error)
    if isinstance(error, WorkflowFailureError):
        patience = ANSWER_PATIENCE.total_seconds()
        return f"no response within {patience:.0f} s; workers of version 0.2.0 and earlier do not support this check"
    return str(error)


def _live(report: WorkerReport) -> Finding:
    what = f"{LIVE} {report.task_queue}"
    if report.full_disk is not None:
        return Finding.wrong_by(what, f"{report.identity}: {report.full_disk}", "make room on it")
    free = "unknown" if report.free_bytes is None else f"{report.free_bytes / 1_000_000:,.0f} MB"
    parts = [
        f"{report.identity}, version {report.version}",
        report.keeps,
        f"can call {', '.join(report.providers)}",
        f"free disk {free}",
        f"schema {report.schema_version}",
        *(f"{name}={value}" for name, value in report.settings.items()),
    ]
    return Finding.good(what, "; ".join(parts))


async def check_provider(name: str, provider: ImageProvider) -> Finding:
    """A finding for a provider's key and model; nothing is drawn."""
    what = f"provider {name}"
    if not isinstance(provider, KeyedProvider):
        return Finding.good(what, "needs no key")
    try:
        async with asyncio.timeout(2 * PATIENCE.total_seconds()):
            wrong = await provider.check()
    except (ProviderUnavailable, TimeoutError) as error:
        return Finding.wrong(what, str(error) or "does not answer", "try again; check that this machine can reach it")
    if wrong is None:
        return Finding.good(what, "accepts the key")
    return Finding.wrong_by(what, wrong, "check the key")
