"""What workers can call."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta

from darkroom.domain.offers import ProviderOffer
from darkroom.records.offers import readable_offers
from darkroom.records.sqlite.database import now, stamp


def offer_providers(db: sqlite3.Connection, offer: ProviderOffer, lasts: timedelta) -> None:
    """Say what a worker can call, and forget what no longer holds."""
    db.execute("delete from quel_provider_offers where expires_at <= ?", (now(),))
    db.execute(
        "insert into quel_provider_offers (offer_hash, offer, expires_at) values (?, ?, ?) "
        "on conflict (offer_hash) do update set expires_at = max(expires_at, excluded.expires_at)",
        (offer.digest, offer.model_dump_json(), stamp(datetime.now(UTC) + lasts)),
    )


def offered_providers(db: sqlite3.Connection) -> list[ProviderOffer]:
    """The offers that hold now."""
    rows = db.execute(
        "select offer from quel_provider_offers where expires_at > ? order by expires_at desc, offer_hash", (now(),)
    )
    return list(readable_offers(json.loads(row["offer"]) for row in rows))
