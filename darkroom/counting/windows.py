"""What the package `limits` asks of a storage, as far as sliding windows need it."""

from typing import Self

from limits.aio.storage import SlidingWindowCounterSupport, Storage


class SlidingWindows(Storage, SlidingWindowCounterSupport):
    """A storage that counts in sliding windows, and in no other way."""

    STORAGE_SCHEME = None

    @property
    def rates(self) -> Self:
        """Where rates are counted: here."""
        return self

    async def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - as `limits` calls it
        """Forget a key."""
        await self.clear(key)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Not used: windows slide."""
        raise NotImplementedError

    async def get(self, key: str) -> int:
        """Not used: windows slide."""
        raise NotImplementedError

    async def get_expiry(self, key: str) -> float:
        """Not used: windows slide."""
        raise NotImplementedError
