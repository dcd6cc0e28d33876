"""Which providers there are, as workers say it: other processes have no keys, and learn from them."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta

from darkroom.domain.model import Value
from darkroom.domain.orders import Capabilities

LASTS = timedelta(minutes=10)
"""For which an offer holds: above the time that workers take to restart, whose orders are accepted meanwhile."""

RENEWED_EVERY = timedelta(minutes=1)


class ProviderOffer(Value):
    """What a worker can call."""

    providers: tuple[Capabilities, ...]
    default: tuple[str, ...]
    """Those of orders that name none: the first, and when it cannot draw, the next."""

    @property
    def digest(self) -> str:
        """What it is known by: workers of the same settings make the same offer."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Providers(Value):
    """The providers that an order may name."""

    capabilities: Mapping[str, Capabilities]
    default: tuple[str, ...]


def offered(offers: Sequence[ProviderOffer]) -> Providers | None:
    """All that workers offer, the newest first; None when none has said so."""
    if not offers:
        return None
    every = {can.name: can for offer in reversed(offers) for can in offer.providers}
    return Providers(capabilities=dict(sorted(every.items())), default=offers[0].default)
