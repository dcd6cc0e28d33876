"""Says, while a worker runs, which providers it can call: the API has no keys, and learns it from the records."""

import asyncio

import structlog

from darkroom.domain.errors import DarkroomError
from darkroom.domain.offers import LASTS, RENEWED_EVERY, ProviderOffer
from darkroom.records.offers import OfferRecords

log = structlog.get_logger(__name__)


async def keep_offering(records: OfferRecords, offer: ProviderOffer) -> None:
    """Write the offer now and again, until this task is cancelled."""
    while True:
        try:
            await records.offer_providers(offer, LASTS)
        except DarkroomError as error:
            # Outages have lines of their own, and an offer outlasts a short one.
            log.debug("providers not offered", reason=str(error))
        await asyncio.sleep(RENEWED_EVERY.total_seconds())
