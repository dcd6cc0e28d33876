"""The port to where bytes lie."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol


class Storage(Protocol):
    """Bytes by key. Keys are relative paths of `[A-Za-z0-9/_.-]`.

    All methods raise `StorageUnavailable` for a transient error (an outage, a full disk) and
    `StorageRefused` for what a retry cannot fix (key, bucket, size, permission).
    """

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        """Write the bytes, over what was there; a reader sees the old or the new, never a part."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The bytes; None when nothing lies there."""
        ...

    async def exists(self, key: str) -> bool:
        """Whether something lies there."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove what lies under the keys; those without anything are no error."""
        ...

    async def keys(self, prefix: str) -> Sequence[str]:
        """All keys in a folder (`prefix` ends with `/`), at any depth."""
        ...

    async def url(self, key: str, lifetime: timedelta) -> str | None:
        """An address that shows the object without a key, for so long; None where there are no addresses.

        None too when nothing lies under the key.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
