"""Versions of workers: which one new jobs go to, and jobs whose version no worker has."""

import asyncio
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    ListWorkerDeploymentsRequest,
)
from temporalio.client import Client as TemporalClient
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import WorkerDeploymentConfig

from darkroom.client.executions import QUERY_DEADLINE
from darkroom.client.temporal_faults import explained
from darkroom.client.workers import SEEN_WITHIN
from darkroom.domain.findings import Finding
from darkroom.domain.names import TaskQueue as Queue
from darkroom.settings import Settings

log = structlog.get_logger("darkroom.client.versions")

_OURS = "ExecutionStatus = 'Running' AND WorkflowType IN ('PipelineJobWorkflow', 'StageBatchWorkflow')"
VERSIONS = "versions"
FIRST_POLL = 30.0
"""Seconds within which the server knows a deployment whose worker has just started."""

LOOK_EVERY = 0.5


class Version(NamedTuple):
    """One build of a deployment."""

    deployment: str
    build: str


async def has_current_version(temporal: TemporalClient, deployment: str, patience: float = FIRST_POLL) -> bool:
    """Whether new jobs of a deployment go to any of its versions; waits until the server knows the deployment.

    Raises:
        RPCError: the server does not answer, or never hears of the deployment.
    """
    request = DescribeWorkerDeploymentRequest(namespace=temporal.namespace, deployment_name=deployment)
    end = asyncio.get_running_loop().time() + patience
    while True:
        try:
            found = await temporal.workflow_service.describe_worker_deployment(request, timeout=QUERY_DEADLINE)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND or asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(LOOK_EVERY)
        else:
            return bool(found.worker_deployment_info.routing_config.current_deployment_version.build_id)


async def warn_without_current_version(temporal: TemporalClient, settings: Settings) -> None:
    """Say in the log that a worker gets no new jobs, because its deployment has no current version."""
    if settings.deployment_name is None or settings.build_id is None:
        return
    version = Version(settings.deployment_name, settings.build_id)
    try:
        if await has_current_version(temporal, version.deployment):
            return
    except RPCError as error:
        log.warning("versions unknown", deployment=version.deployment, reason=explained(error))
        return
    log.warning(
        "no current version",
        deployment=version.deployment,
        build=version.build,
        note=f"no worker of this deployment gets new jobs; make it current: {to_make_current(version)}",
    )


def to_make_current(version: Version) -> str:
    """The command that sends new jobs to a version."""
    return (
        f"temporal worker deployment set-current-version --deployment-name {version.deployment} "
        f"--build-id {version.build}"
    )


def to_move(version: Version) -> str:
    """The command that lets the jobs of a version go on with the current one."""
    query = f"ExecutionStatus='Running' AND TemporalWorkerDeploymentVersion='{version.deployment}:{version.build}'"
    return f'temporal workflow update-options --query "{query}" --versioning-override-behavior auto_upgrade --yes'


async def versions_without_worker(temporal: TemporalClient) -> dict[Version, int]:
    """Versions that running workflows are pinned to and that no worker has, with the number of these workflows.

    Raises:
        RPCError: the server does not answer, or knows no versions.
    """
    served = await _served(temporal)
    lacking: dict[Version, int] = {}
    for version in await _known(temporal):
        if version in served:
            continue
        pinned = f"{_OURS} AND TemporalWorkerDeploymentVersion = '{version.deployment}:{version.build}'"
        count = (await temporal.count_workflows(pinned, rpc_timeout=QUERY_DEADLINE)).count
        if count:
            lacking[version] = count
    return lacking


async def check_versions(temporal: TemporalClient) -> list[Finding]:
    """A finding for each version whose jobs wait for a worker; none where workers have no versions."""
    try:
        lacking = await versions_without_worker(temporal)
    except RPCError as error:
        return [Finding.unknown(VERSIONS, f"the server returned an error: {explained(error)}")]
    return [
        Finding.wrong(
            VERSIONS,
            f"{count} running {'workflow needs' if count == 1 else 'workflows need'} build {version.build} of "
            f"{version.deployment}, which no worker has",
            f"start a worker with BUILD_ID={version.build}, or let them continue with the current build: "
            f"`{to_move(version)}`",
        )
        for version, count in lacking.items()
    ]


async def _known(temporal: TemporalClient) -> list[Version]:
    found = []
    listing = ListWorkerDeploymentsRequest(namespace=temporal.namespace)
    deployments = await temporal.workflow_service.list_worker_deployments(listing, timeout=QUERY_DEADLINE)
    for deployment in deployments.worker_deployments:
        request = DescribeWorkerDeploymentRequest(namespace=temporal.namespace, deployment_name=deployment.name)
        described = await temporal.workflow_service.describe_worker_deployment(request, timeout=QUERY_DEADLINE)
        found += [
            Version(one.deployment_version.deployment_name, one.deployment_version.build_id)
            for one in described.worker_deployment_info.version_summaries
        ]
    return found


async def _served(temporal: TemporalClient) -> set[Version]:
    request = DescribeTaskQueueRequest(
        namespace=temporal.namespace,
        task_queue=TaskQueue(name=Queue.ORCHESTRATE),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await temporal.workflow_service.describe_task_queue(request, timeout=QUERY_DEADLINE)
    since = datetime.now(UTC) - SEEN_WITHIN
    return {
        Version(one.deployment_options.deployment_name, one.deployment_options.build_id)
        for one in answer.pollers
        if one.last_access_time.ToDatetime(tzinfo=UTC) >= since
    }


def worker_deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    """Jobs stay with the build that began them, where builds are named; without, patches carry them over an upgrade."""
    if settings.deployment_name is None or settings.build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment_name, settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )
