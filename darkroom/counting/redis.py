"""Rates in Redis or Valkey; leases stay where the records are."""

import re

from limits.aio.storage import RedisStorage, Storage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.errors import ConfigurationError

from darkroom.counting import Counting
from darkroom.domain.errors import SettingRejected

_VALKEY = re.compile("^valkey")
TIMEOUT = 2.0
"""Seconds. A limit that cannot be counted does not stop what it limits."""


class RatesInRedis:
    """Counters whose rates are in Redis.

    Args:
        url: of the server; it may hold a password.
        leases: where leases are kept.

    Raises:
        SettingRejected: the client for Redis is not installed, or the URL is none.
    """

    def __init__(self, url: str, leases: Counting) -> None:
        try:
            self._rates = RedisStorage(
                # The one client speaks to both; a host may be called valkey.
                f"async+{_VALKEY.sub('redis', url)}",
                implementation="redispy",
                wrap_exceptions=True,
                key_prefix="darkroom",
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
            )
        except ConfigurationError:
            raise SettingRejected(
                "API_LIMITS_REDIS_URL requires the client for Redis; install it with `pip install darkroom[redis]`"
            ) from None
        except ValueError:  # its text may quote the password
            raise SettingRejected("API_LIMITS_REDIS_URL must be a URL, such as redis://redis.example:6379/0") from None
        self._leases = leases
        self.lease, self.renew, self.release = leases.lease, leases.renew, leases.release

    @property
    def rates(self) -> Storage:
        """Where rates are counted."""
        return self._rates

    async def close(self) -> None:
        """Let go of the connections."""
        bridge = self._rates.bridge
        assert isinstance(bridge, RedispyBridge), "it was asked for"
        await bridge.storage.aclose()
        await self._leases.close()
