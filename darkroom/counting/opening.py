"""Which counters the settings name."""

from darkroom.counting import Counting
from darkroom.counting.sqlite import SqliteCounters
from darkroom.settings import Settings


async def open_counting(settings: Settings) -> Counting:
    """The counters that all API processes of a deployment share.

    Raises:
        SettingRejected: the client for Redis is not installed.
    """
    leases = await _beside_the_records(settings)
    if settings.api_limits_redis_url is None:
        return leases
    from darkroom.counting.redis import RatesInRedis  # noqa: PLC0415 - few deployments have one

    return RatesInRedis(settings.api_limits_redis_url.get_secret_value(), leases)


async def _beside_the_records(settings: Settings) -> Counting:
    if settings.supabase_url is None or settings.supabase_service_role_key is None:
        return SqliteCounters(settings.darkroom_home)
    # The SDK costs half a second; processes that keep everything in a folder do not import it.
    from darkroom.counting.supabase import SupabaseCounters  # noqa: PLC0415
    from darkroom.records.supabase.functions import Functions  # noqa: PLC0415
    from darkroom.supabase import open_supabase  # noqa: PLC0415

    key = settings.supabase_service_role_key.get_secret_value()
    return SupabaseCounters(Functions(await open_supabase(settings.supabase_url, key)))
