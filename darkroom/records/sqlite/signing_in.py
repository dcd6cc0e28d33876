"""The port's methods for those who sign in, for what they use, and for which providers they may name."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from darkroom.domain.keys import ApiKey, NewApiKey, NewSession, Session
from darkroom.domain.offers import ProviderOffer
from darkroom.domain.usage import Usage
from darkroom.records.sqlite import keys, members, offers
from darkroom.records.sqlite.database import Database


class SqliteSignIns:
    """Each one transaction of the modules beside this one."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add_api_key(self, key: NewApiKey) -> None:
        await self._db.write(keys.add_api_key, key)

    async def api_key(self, key_hash: str) -> ApiKey | None:
        return await self._db.read(keys.api_key, key_hash)

    async def api_keys(self) -> Sequence[ApiKey]:
        return await self._db.read(keys.api_keys)

    async def revoke_api_key(self, key_id: UUID) -> bool:
        return await self._db.write(keys.revoke_api_key, key_id)

    async def offer_providers(self, offer: ProviderOffer, lasts: timedelta) -> None:
        await self._db.write(offers.offer_providers, offer, lasts)

    async def offered_providers(self) -> Sequence[ProviderOffer]:
        return await self._db.read(offers.offered_providers)

    async def add_session(self, session: NewSession) -> None:
        await self._db.write(keys.add_session, session)

    async def session(self, session_hash: str) -> Session | None:
        return await self._db.read(keys.session, session_hash)

    async def end_session(self, session_hash: str) -> None:
        await self._db.write(keys.end_session, session_hash)

    async def valid_sign_ins(self, hashes: Collection[str]) -> Collection[str]:
        return await self._db.read(keys.valid_sign_ins, hashes)

    async def usage(self, user_id: UUID) -> Usage:
        return await self._db.read(members.usage, user_id)
