"""The port to what the API's processes count together: rates, as the package `limits` asks for them, and leases.

Rates say how often something may happen; leases how much of it at once. A lease ends by itself when its process dies.
"""

from typing import Protocol

from limits.aio.storage import Storage


class Leasing(Protocol):
    """Leases: so many a kind and holder."""

    async def lease(self, lease_id: str, kind: str, holder: str, most: int, seconds: float) -> bool:
        """Take a lease, unless the holder has `most` of the kind."""
        ...

    async def renew(self, lease_id: str, kind: str, holder: str, seconds: float) -> None:
        """Keep a lease, also one that ended while this process stood still."""
        ...

    async def release(self, lease_id: str) -> None:
        """Give a lease back."""
        ...


class Counting(Leasing, Protocol):
    """Both, in one place."""

    @property
    def rates(self) -> Storage:
        """Where rates are counted. What goes wrong there is a `limits.errors.StorageError`."""
        ...

    async def close(self) -> None:
        """Let go of what is open; leases that are still held end by themselves."""
        ...
