"""The activity that sends a webhook when a run of a job has ended."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import structlog
from standardwebhooks import Webhook
from temporalio import activity

from activities.errors import at_the_edge
from darkroom.domain.errors import DarkroomError, NotPossibleNow, ReceiverUnavailable
from darkroom.domain.webhooks import Ending, WebhookDelivered, WebhookInput, event_id, event_of
from darkroom.records.webhooks import WebhookRecords
from darkroom.webhooks.egress_policy import Destination, EgressPolicy

log = structlog.get_logger("darkroom.webhook")


class Sender(Protocol):
    """Posts to addresses that were checked."""

    async def post(self, destination: Destination, headers: Mapping[str, str], body: bytes) -> int:
        """The status, one of 200 to 299.

        Raises:
            ReceiverGone: the receiver accepts no more events.
            ReceiverUnavailable: it did not accept this one.
        """
        ...


class WebhookActivities:
    """May be executed twice at any time: the receiver gets the event twice then, under one id.

    Args:
        secret_of: the signing key of a user, who is None for anonymous jobs.
    """

    def __init__(
        self,
        records: WebhookRecords,
        egress_policy: EgressPolicy,
        sender: Sender,
        secret_of: Callable[[UUID | None], bytes],
    ) -> None:
        self._records = records
        self._egress_policy = egress_policy
        self._sender = sender
        self._secret_of = secret_of

    @activity.defn
    @at_the_edge
    async def send_webhook(self, run: WebhookInput) -> WebhookDelivered:
        """Sign the event and send it once; Temporal retries until it is accepted."""
        ending = await self._records.ending(run.job_id, run.run_id)
        if ending is None or ending.webhook_url is None:
            raise NotPossibleNow(f"job {run.job_id}: this run has not ended, or the job has no webhook_url")
        attempt = activity.info().attempt
        event = event_of(ending)
        about = {"job_id": str(run.job_id), "type": str(event.type), "attempt": attempt}
        body = event.model_dump_json().encode()
        try:
            # Resolved and checked each time: a name may resolve to another address than at the order.
            destination = await self._egress_policy.destination(ending.webhook_url)
            status = await self._sender.post(destination, self._headers(ending, body), body)
        except DarkroomError as error:
            retrying = isinstance(error, ReceiverUnavailable)
            log.warning("webhook not delivered", **about, reason=str(error), retrying=retrying)
            raise
        log.info("webhook delivered", **about, receiver=destination.target.shown, status=status)
        return WebhookDelivered(status=status, attempt=attempt)

    def _headers(self, ending: Ending, body: bytes) -> dict[str, str]:
        name, moment = event_id(ending), datetime.now(UTC)
        signature = Webhook(self._secret_of(ending.user_id)).sign(name, moment, body.decode())
        return {
            "webhook-id": name,
            # Of this attempt: receivers refuse what was signed long ago.
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature,
        }
