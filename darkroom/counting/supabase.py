"""Counters in a Supabase project, which all API processes over it share: unlogged tables, a function a call."""

from typing import Any, Protocol

from darkroom.counting.windows import SlidingWindows
from darkroom.domain.errors import DarkroomError


class Functions(Protocol):
    """The functions of one project."""

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Call `darkroom_{name}` with `p_` before each argument; gives its JSON."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...


class SupabaseCounters(SlidingWindows):
    """Rates and leases in the project's database, by its clock.

    Args:
        functions: of the project, over connections of their own, so that counting never waits behind reading.
    """

    def __init__(self, functions: Functions) -> None:
        super().__init__(wrap_exceptions=True)
        self._functions = functions
        self._call = functions.call

    @property
    def base_exceptions(self) -> type[Exception]:
        """What goes wrong here."""
        return DarkroomError

    async def close(self) -> None:
        """Let go of the connections."""
        await self._functions.close()

    async def lease(self, lease_id: str, kind: str, holder: str, most: int, seconds: float) -> bool:
        """Take a lease, unless the holder has `most` of the kind."""
        return bool(
            await self._call("take_lease", lease_id=lease_id, kind=kind, holder=holder, most=most, seconds=seconds)
        )

    async def renew(self, lease_id: str, kind: str, holder: str, seconds: float) -> None:
        """Keep a lease, also one that ended while this process stood still."""
        await self._call("renew_lease", lease_id=lease_id, kind=kind, holder=holder, seconds=seconds)

    async def release(self, lease_id: str) -> None:
        """Give a lease back."""
        await self._call("release_lease", lease_id=lease_id)

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count, unless the window is full."""
        return bool(await self._call("count_in_window", key=key, most=limit, seconds=expiry, amount=amount))

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Count and remaining seconds of the previous window and of this one."""
        found = await self._call("window", key=key, seconds=expiry)
        return int(found["previous"]), float(found["left"]), int(found["current"]), float(found["left"]) + expiry

    async def clear(self, key: str) -> None:
        """Forget a key."""
        await self._call("clear_windows", key=key)

    async def reset(self) -> int | None:
        """Forget every key."""
        return int(await self._call("clear_windows", key=None))

    async def check(self) -> bool:
        """Whether the database answers."""
        await self._call("window", key="-", seconds=1)
        return True
