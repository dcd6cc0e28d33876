"""What a user may have in all, and order in a day. Operators decide that for others, and have no such limits."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from limits import RateLimitItemPerDay
from limits.aio.storage import Storage

from darkroom.api.allowances import Allowance, too_many
from darkroom.api.sign_in import Caller
from darkroom.api_limits import ApiLimits
from darkroom.client.results import CheckedOrder
from darkroom.domain.formats import ImageSize
from darkroom.domain.money import Prices
from darkroom.fair_queue import FairQueue, elsewhere
from darkroom.records.usage import UsageRecords

MB = 1_000_000
ENDS_SOON = 60
"""Seconds after which one of many jobs may have ended."""
FREED_BY_HAND = 3_600
"""The same of storage, which somebody has to make free."""
MANY = 1_000_000


class Quotas:
    """Open jobs, stored bytes, orders without a charge and webhooks.

    Args:
        records: what users have.
        rates: where days are counted.
        limits: the settings.
    """

    def __init__(self, records: UsageRecords, rates: Storage, limits: ApiLimits) -> None:
        self._records = records
        self._limits = limits
        self._free = Allowance(RateLimitItemPerDay(limits.api_free_orders_per_day), "orders without a charge", rates)
        self._webhooks = Allowance(RateLimitItemPerDay(limits.api_webhooks_per_day), "orders with a webhook", rates)
        self._hosts = Allowance(
            RateLimitItemPerDay(limits.api_webhooks_per_host_per_day), "orders with a webhook to this host", rates
        )
        self._placing = FairQueue(MANY, 1)

    @asynccontextmanager
    async def placing_of(self, caller: Caller) -> AsyncIterator[None]:
        """One at a time for a user who has limits, so that each is compared with what the one before it left."""
        if caller.operator:
            yield
            return
        async with AsyncExitStack() as placing:
            async with elsewhere():
                await placing.enter_async_context(self._placing.turn(caller.user_id))
            yield

    async def admit_job(self, caller: Caller) -> None:
        """Refuse a job above the limit of open ones.

        Raises:
            Problem: 429.
        """
        most = self._limits.api_open_jobs_per_user
        if not caller.operator and (await self._records.usage(caller.user_id)).open_jobs >= most:
            raise too_many(f"the limit of {most:,} open jobs per user is reached; cancel some", ENDS_SOON)

    @asynccontextmanager
    async def placing(self, caller: Caller, checked: CheckedOrder, prices: Prices) -> AsyncIterator[None]:
        """Admit an order, or refuse it above a limit, and keep the next one of its user waiting until it is stored.

        Args:
            caller: who orders.
            checked: the order.
            prices: credits a picture.

        Raises:
            Problem: 429.
        """
        async with self.placing_of(caller):
            if not caller.operator:
                await self._admit_order(caller, checked, prices)
            yield

    async def _admit_order(self, caller: Caller, checked: CheckedOrder, prices: Prices) -> None:
        await self.admit_job(caller)
        who = str(caller.user_id)
        # Where nothing has a price, an order without a charge is an order like any other.
        if any(prices.of(size) for size in ImageSize) and not sum(checked.credits_by_stage(prices)):
            await self._free.spend(who)
        if checked.order.webhook_url is not None:
            await self._webhooks.spend(who)
            await self._hosts.spend(urlsplit(checked.order.webhook_url).hostname or "")

    async def admit_upload(self, caller: Caller, size: int) -> None:
        """Refuse an upload for which there is no room.

        Raises:
            Problem: 429.
        """
        most = self._limits.api_stored_mb_per_user
        if not caller.operator and (await self._records.usage(caller.user_id)).stored_bytes + size > most * MB:
            raise too_many(f"the limit of {most:,} MB of uploads per user is reached", FREED_BY_HAND)
