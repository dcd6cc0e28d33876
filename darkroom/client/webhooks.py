"""Starts the webhook of a run whose end no job's workflow sends, or resends one."""

from uuid import UUID

import structlog
from temporalio.client import Client, WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from darkroom.client.temporal_faults import explained
from darkroom.contract import Webhook
from darkroom.domain.names import TaskQueue, fairness_key, fairness_key_of_begun, webhook_workflow_id
from darkroom.domain.webhooks import Ending, WebhookDelivered, WebhookInput
from darkroom.records.webhooks import WebhookRecords

log = structlog.get_logger("darkroom.webhook")


async def announce(records: WebhookRecords, client: Client, job_id: UUID, run_id: str | None) -> None:
    """Tell the end of a run that was ended from outside, where somebody is to be told; once is enough."""
    ending = await records.ending(job_id, run_id)
    if ending is None or ending.webhook_url is None:
        return
    try:
        await start_webhook(client, ending, again=False)
    except WorkflowAlreadyStartedError:
        pass
    except RPCError as error:
        # What ended the job is done and reported; `webhooks send` can send this one later.
        log.warning("webhook not started", job_id=str(job_id), reason=explained(error))


async def start_webhook(client: Client, ending: Ending, *, again: bool) -> WorkflowHandle[Webhook, WebhookDelivered]:
    """Start the workflow that sends an end; `again` ends one that is still retrying, and starts over.

    Raises:
        WorkflowAlreadyStartedError: not again, and it was started before.
        RPCError: Temporal does not accept it.
    """
    return await client.start_workflow(
        Webhook.run,
        WebhookInput(job_id=ending.job_id, run_id=ending.run_id),
        id=webhook_workflow_id(ending.job_id, ending.run_id),
        task_queue=TaskQueue.ORCHESTRATE,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE if again else WorkflowIDReusePolicy.REJECT_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING if again else WorkflowIDConflictPolicy.FAIL,
        static_summary=f"webhook · {ending.receipt.status}",
        priority=Priority(fairness_key=fairness_key_of_begun(fairness_key(ending.user_id, ending.job_id))),
    )
