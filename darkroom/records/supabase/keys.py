"""Who may use the HTTP API."""

from collections.abc import Collection, Sequence
from uuid import UUID

from darkroom.domain.keys import MOST_SESSIONS, ApiKey, NewApiKey, NewSession, Session
from darkroom.records.supabase.functions import Part


class SupabaseKeys(Part):
    """The role `KeyRecords`."""

    async def add_api_key(self, key: NewApiKey) -> None:
        await self._call("add_api_key", **key.model_dump(mode="json"))

    async def api_key(self, key_hash: str) -> ApiKey | None:
        key = await self._call("api_key", key_hash=key_hash)
        return None if key is None else ApiKey.model_validate(key)

    async def api_keys(self) -> Sequence[ApiKey]:
        return [ApiKey.model_validate(key) for key in await self._call("api_keys")]

    async def revoke_api_key(self, key_id: UUID) -> bool:
        return bool(await self._call("revoke_api_key", key_id=str(key_id)))

    async def add_session(self, session: NewSession) -> None:
        await self._call("add_session", **session.model_dump(mode="json"), most=MOST_SESSIONS)

    async def session(self, session_hash: str) -> Session | None:
        session = await self._call("session", session_hash=session_hash)
        return None if session is None else Session.model_validate(session)

    async def end_session(self, session_hash: str) -> None:
        await self._call("end_session", session_hash=session_hash)

    async def valid_sign_ins(self, hashes: Collection[str]) -> Collection[str]:
        return frozenset(await self._call("valid_sign_ins", hashes=list(hashes)))
