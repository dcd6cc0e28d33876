"""The activity that tells a webhook how a run of a job ended."""

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
            ReceiverGone: the receiver wants no more events.
            ReceiverUnavailable: it did not take this one.
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
    async def send_webhook(self, told: WebhookInput) -> WebhookDelivered:
        """Sign the event and send it once; Temporal does so again until it is taken."""
        ending = await self._records.ending(told.job_id, told.run_id)
        if ending is None or ending.webhook_url is None:
            raise NotPossibleNow(f"job {told.job_id}: there is no end to tell of this run, or nobody to tell")
        attempt = activity.info().attempt
        event = event_of(ending)
        about = {"job_id": str(told.job_id), "type": str(event.type), "attempt": attempt}
        body = event.model_dump_json().encode()
        try:
            # Looked up and checked each time: where a name leads may have changed since the order.
            destination = await self._egress_policy.destination(ending.webhook_url)
            status = await self._sender.post(destination, self._headers(ending, body), body)
        except DarkroomError as error:
            tried_again = isinstance(error, ReceiverUnavailable)
            log.warning("webhook not taken", **about, reason=str(error), tried_again=tried_again)
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
