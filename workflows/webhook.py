"""WebhookWorkflow: tells one receiver how one run of a job ended, over a day if need be, while the job is long over."""

from temporalio import exceptions, workflow
from temporalio.common import WorkflowIDReusePolicy

with workflow.unsafe.imports_passed_through():
    from activities.webhooks import WebhookActivities
    from darkroom.contract import Webhook, innermost
    from darkroom.domain.names import TaskQueue, webhook_workflow_id
    from darkroom.domain.webhooks import WebhookDelivered, WebhookInput
    from workflows.events import log
    from workflows.policies import WEBHOOK
    from workflows.priorities import of_what_has_begun


@workflow.defn(name="WebhookWorkflow")
class WebhookWorkflow(Webhook):
    """Fails when the receiver never took the event, so that such workflows are found by their status."""

    @workflow.run
    async def run(self, event: WebhookInput) -> WebhookDelivered:
        """Send until the event is taken; which attempt that was."""
        try:
            return await workflow.execute_activity_method(
                WebhookActivities.send_webhook, event, task_queue=TaskQueue.WEBHOOKS, summary="send", **WEBHOOK
            )
        except exceptions.ActivityError as error:
            log("webhook given up", job_id=str(event.job_id), reason=str(innermost(error)))
            raise


async def start_webhook(told: WebhookInput, summary: str) -> None:
    """Start it beside the job's workflow, which waits for the start alone and never for the receiver."""
    try:
        child = await workflow.start_child_workflow(
            WebhookWorkflow.run,
            told,
            id=webhook_workflow_id(told.job_id, told.run_id),
            # A job's workflow that was reset comes here again, and what is being told needs no second telling.
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            cancellation_type=workflow.ChildWorkflowCancellationType.ABANDON,
            static_summary=summary,
            priority=of_what_has_begun(),
        )
    except exceptions.FailureError as error:
        # The job has its pictures and its receipt: it does not fail for want of a messenger.
        log("webhook not started", job_id=str(told.job_id), reason=str(error))
    else:
        # Nobody here asks how it went; unasked, the event loop would complain of a failure.
        child.add_done_callback(lambda done: done.cancelled() or done.exception())
