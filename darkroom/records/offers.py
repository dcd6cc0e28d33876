"""The records of which providers there are."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from darkroom.domain.offers import ProviderOffer

log = structlog.get_logger(__name__)


class OfferRecords(Protocol):
    """What workers can call, for processes that have no keys of providers."""

    async def offer_providers(self, offer: ProviderOffer, lasts: timedelta) -> None:
        """Say what a worker can call; it holds for so long from now on. Workers that offer the same share a row."""
        ...

    async def offered_providers(self) -> Sequence[ProviderOffer]:
        """The offers that hold now, the one that holds longest first."""
        ...


def readable_offers(rows: Iterable[Any]) -> Iterator[ProviderOffer]:
    """Those of the stored offers that can be read; a worker of another version may have written the others."""
    for row in rows:
        try:
            yield ProviderOffer.model_validate(row)
        except ValidationError as error:
            log.warning("offer of providers left out", reason=str(error.errors(include_url=False)[0]["msg"]))
