"""The records of who may use the HTTP API."""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from darkroom.domain.keys import ApiKey, NewApiKey, NewSession, Session


class KeyRecords(Protocol):
    """API keys and sessions, kept as hashes."""

    async def add_api_key(self, key: NewApiKey) -> None:
        """Store a key."""
        ...

    async def api_key(self, key_hash: str) -> ApiKey | None:
        """The key with this hash; None when there is none, or it is revoked."""
        ...

    async def api_keys(self) -> Sequence[ApiKey]:
        """All keys, newest first, revoked ones too."""
        ...

    async def revoke_api_key(self, key_id: UUID) -> bool:
        """Revoke a key; False when there is none with this id."""
        ...

    async def add_session(self, session: NewSession) -> None:
        """Store a session. Those that have expired are deleted, and the user's oldest above `MOST_SESSIONS`."""
        ...

    async def session(self, session_hash: str) -> Session | None:
        """The session with this hash; None when there is none, it has expired, or its key is revoked."""
        ...

    async def end_session(self, session_hash: str) -> None:
        """Delete a session."""
        ...

    async def valid_sign_ins(self, hashes: Collection[str]) -> Collection[str]:
        """Those of these hashes, of keys and of sessions, that still open something."""
        ...
