"""Webhook events, and the run of a job that each is about."""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from darkroom.domain.customers_words import for_customers
from darkroom.domain.model import Value
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt


class EventType(StrEnum):
    """The kinds of event a receiver may get."""

    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"


class Ending(Value):
    """How one run of a job ended, and where its webhook goes; a later run does not change it."""

    job_id: UUID
    run_id: str | None
    """None for a job that was cancelled before any run opened it."""
    user_id: UUID | None
    production_id: UUID | None
    webhook_url: str | None
    ended_at: datetime
    receipt: Receipt


class WebhookInput(Value):
    """The input of the webhook's workflow and of its activity: the run whose end is sent."""

    job_id: UUID
    run_id: str | None


class WebhookDelivered(Value):
    """The receiver accepted the event."""

    status: int
    """The HTTP status it answered with."""
    attempt: int


class EventData(Value):
    """The job when the run ended, with the numbers of its row at that moment."""

    job_id: UUID
    run_id: str | None
    job_type: str
    status: JobStatus
    user_id: UUID | None
    production_id: UUID | None
    total_images: int
    completed_images: int
    failed_images: int
    error_message: str | None
    receipt: Receipt


class Event(Value):
    """The body of a webhook, as the Standard Webhooks specification recommends."""

    type: EventType
    timestamp: datetime
    """When the run ended, in UTC; not when this was sent."""
    data: EventData


def event_id(ending: Ending) -> str:
    """The event's id: the same for every attempt, so that a receiver can detect duplicates."""
    return f"msg_{ending.run_id or ending.job_id}"


def event_of(ending: Ending) -> Event:
    """The event of a run's end, in a customer's words: receivers are theirs."""
    receipt = for_customers(ending.receipt)
    failed = 0 if receipt.status is JobStatus.CANCELLED else receipt.ordered - receipt.delivered
    return Event(
        type=EventType(f"job.{receipt.status}"),
        timestamp=ending.ended_at.astimezone(UTC),
        data=EventData(
            job_id=ending.job_id,
            run_id=ending.run_id,
            job_type=receipt.job_type,
            status=receipt.status,
            user_id=ending.user_id,
            production_id=ending.production_id,
            total_images=receipt.ordered,
            completed_images=receipt.delivered,
            failed_images=failed,
            error_message=receipt.error_message,
            receipt=receipt,
        ),
    )
