"""Versions of workers, where a deployment has a name: which one new jobs go to, and jobs whose version no worker has."""

import asyncio
from datetime import UTC, datetime
from typing import NamedTuple

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    ListWorkerDeploymentsRequest,
)
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError, RPCStatusCode

from darkroom.client.executions import QUERY_DEADLINE
from darkroom.client.workers import SEEN_WITHIN
from darkroom.domain.names import TaskQueue as Queue

_OURS = "ExecutionStatus = 'Running' AND WorkflowType IN ('PipelineJobWorkflow', 'StageBatchWorkflow')"
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


