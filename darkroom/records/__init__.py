"""The port to what is remembered, by role.

Whoever works with records names the roles it needs, and can call nothing else. Each method is one transaction. Every
changing method may be called twice with the same arguments and then changes nothing the second time. All of them
raise `RecordsUnavailable` for a passing trouble.
"""

from typing import Protocol

from darkroom.records.books import BookRecords
from darkroom.records.deleting import DeleteRecords
from darkroom.records.finding import FindRecords
from darkroom.records.images import ImageRecords, ReferenceRecords
from darkroom.records.jobs import JobRecords
from darkroom.records.keys import KeyRecords
from darkroom.records.money import AccountRecords, MoneyRecords
from darkroom.records.offers import OfferRecords
from darkroom.records.usage import UsageRecords
from darkroom.records.watching import WatchRecords
from darkroom.records.webhooks import WebhookRecords


class Records(
    JobRecords,
    ImageRecords,
    ReferenceRecords,
    MoneyRecords,
    AccountRecords,
    WatchRecords,
    FindRecords,
    BookRecords,
    WebhookRecords,
    KeyRecords,
    OfferRecords,
    UsageRecords,
    DeleteRecords,
    Protocol,
):
    """All roles: what an adapter implements and the bootstrap hands out."""

    async def close(self) -> None:
        """Close the connections."""
        ...
