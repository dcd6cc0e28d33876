"""The records of who may use the HTTP API."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from darkroom.domain.keys import ApiKey, NewApiKey


class KeyRecords(Protocol):
    """API keys, kept as hashes."""

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
