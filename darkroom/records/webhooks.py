"""The records of who is told of the end of a job."""

from typing import Protocol
from uuid import UUID

from darkroom.domain.webhooks import Ending


class WebhookRecords(Protocol):
    """Ends, and whom to tell."""

    async def keep_webhook(self, job_id: UUID, url: str) -> None:
        """Keep who is told of the end of a job whose order is rejected; what an order stored is kept instead."""
        ...

    async def ending(self, job_id: UUID, run_id: str | None) -> Ending | None:
        """How a closed run of a job ended, and whom to tell; None for a run that is not closed, or not there.

        Without a run: how a job ended that was cancelled before any run opened it.
        """
        ...
