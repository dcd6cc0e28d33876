"""Which providers a process has, by its settings."""

from collections.abc import Mapping
from datetime import timedelta

from darkroom.domain.offers import ProviderOffer
from darkroom.providers import ImageProvider
from darkroom.settings import Settings


def learns_providers(settings: Settings) -> bool:
    """Whether which providers there are is learned from the workers: nothing here says so."""
    return settings.image_provider is None and not (settings.gemini_api_key or settings.runware_api_key)


def offer_of(providers: Mapping[str, ImageProvider], settings: Settings) -> ProviderOffer:
    """What a worker with these providers can call."""
    capabilities = tuple(provider.capabilities for _, provider in sorted(providers.items()))
    return ProviderOffer(providers=capabilities, default=settings.providers)


def configured_providers(settings: Settings) -> dict[str, ImageProvider]:
    """Those that the settings have a key for, and the one that needs none."""
    from darkroom.providers.offline import OfflineProvider  # noqa: PLC0415 - see below

    found: dict[str, ImageProvider] = {
        "offline": OfflineProvider(
            latency=settings.offline_latency,
            miss_rate=settings.offline_miss_rate,
            fault_rate=settings.offline_fault_rate,
            refusal_rate=settings.offline_refusal_rate,
            seed=settings.offline_seed,
            size=settings.offline_size,
        )
    }
    if settings.gemini_api_key is not None:
        # The SDK costs 80 MB and half a second; processes that never call it do not import it.
        from darkroom.providers.gemini import GeminiProvider  # noqa: PLC0415

        found["gemini"] = GeminiProvider(
            api_key=settings.gemini_api_key.get_secret_value(),
            model=settings.gemini_model,
            base_url=settings.gemini_base_url,
            api_version=settings.gemini_api_version,
            timeout=timedelta(seconds=settings.gemini_timeout),
            max_concurrent=settings.provider_slots,
        )
    if settings.runware_api_key is not None:
        from darkroom.providers.runware import RunwareProvider  # noqa: PLC0415 - as above

        found["runware"] = RunwareProvider(
            api_key=settings.runware_api_key.get_secret_value(),
            model=settings.runware_model,
            base_url=settings.runware_base_url,
            timeout=timedelta(seconds=settings.runware_timeout),
            max_concurrent=settings.provider_slots,
        )
    return found
