"""A Darkroom whose jobs' ends are told to receivers on this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowHandle

from darkroom.domain.names import webhook_workflow_id
from darkroom.domain.webhooks import WebhookDelivered
from darkroom.signing import deployment_secret, webhook_secret
from tests.support.fakes.scripted import ScriptedProvider
from tests.support.stacks.workflow import WorkflowStack, running_stack
from tests.support.webhooks.name_server import NameServer
from tests.support.webhooks.receiver import Got
from workflows.webhook import WebhookWorkflow

LOOPBACK = "127.0.0.0/8"


@asynccontextmanager
async def stack_of(
    temporal: TemporalClient, home: Path, provider: ScriptedProvider | None = None, **settings: Any
) -> AsyncIterator[WorkflowStack]:
    """Networks and names by which a receiver on this machine may be told."""
    names = NameServer({"shop.example": "127.0.0.1", "inside.example": "169.254.169.254"})
    settings = {"webhook_allowed_networks": (LOOPBACK,), "stage_concurrency": 2, **settings}
    async with running_stack(temporal, home, provider, resolver=names, **settings) as stack:
        yield stack


async def webhook_of(stack: WorkflowStack, job_id: UUID) -> WorkflowHandle[WebhookWorkflow, WebhookDelivered]:
    """The workflow that tells the end of the job's present run."""
    name = webhook_workflow_id(job_id, (await stack.row(job_id)).run_id)
    return stack.temporal.get_workflow_handle_for(WebhookWorkflow.run, name)


def verified(stack: WorkflowStack, got: Got) -> dict[str, Any]:
    """What was told, once its signature is checked with the user's secret."""
    return got.verified(webhook_secret(deployment_secret(stack.parts.settings), stack.user_id))
