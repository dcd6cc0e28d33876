"""An API without keys of providers: what there is to order from, it learns from the workers, through the records."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.client import Client

from darkroom.bootstrap import open_parts
from darkroom.domain.offers import ProviderOffer
from darkroom.providers import gemini
from darkroom.settings import Settings
from tests.support.children import SHARED
from tests.support.stacks.api import ApiStack, running_api
from tests.support.until import until
from worker import Role, running_workers

HOUR = timedelta(hours=1)
RATIO = "21:9"
"""That Gemini has, and the offline provider has not."""


@pytest.fixture
async def keyless(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API of a deployment: neither a key nor IMAGE_PROVIDER, and no worker yet."""
    async with running_api(temporal, tmp_path, workers=False, settings={"image_provider": None}) as api:
        yield api


async def providers(api: ApiStack) -> dict[str, dict[str, Any]]:
    answer = await api.http.get("/api/account")
    return {one["name"]: one for one in answer.json()["providers"]}


async def quoted(api: ApiStack, **more: Any) -> int:
    document = {"stages": [{"prompt": "a lemon", "quantity": 1, **more.pop("stage", {})}], **more}
    return (await api.http.post("/api/jobs/quote", json=document)).status_code


async def test_what_workers_offer_can_be_ordered(keyless: ApiStack) -> None:
    assert set(await providers(keyless)) == {"offline"}
    assert await quoted(keyless, provider="gemini") == 422
    offer = ProviderOffer(providers=(gemini.CAPABILITIES,), default=("gemini",))
    await keyless.parts.records.offer_providers(offer, HOUR)
    shown = await providers(keyless)
    assert (set(shown), shown["gemini"]["default"]) == ({"gemini"}, True)
    assert tuple(shown["gemini"]["aspect_ratios"]) == gemini.CAPABILITIES.aspect_ratios
    assert await quoted(keyless, provider="gemini") == 200
    assert await quoted(keyless, provider="runware") == 422
    assert await quoted(keyless, stage={"aspect-ratio": RATIO}) == 200


async def test_who_knows_its_providers_asks_nobody(quiet: ApiStack) -> None:
    offer = ProviderOffer(providers=(gemini.CAPABILITIES,), default=("gemini",))
    await quiet.parts.records.offer_providers(offer, HOUR)
    assert set(await providers(quiet)) == {"offline"}
    assert await quoted(quiet, provider="gemini") == 422


async def test_a_worker_offers_what_it_has_keys_for_and_tells_no_key(keyless: ApiStack, temporal: Client) -> None:
    secret = "AIza-a-key-of-ours"
    home = keyless.parts.settings.darkroom_home
    settings = Settings(_env_file=None, darkroom_home=home, gemini_api_key=SecretStr(secret))
    async with open_parts(settings, children=SHARED) as parts:
        async with running_workers(parts, temporal, [Role.ORCHESTRATE, Role.PUBLISH]):
            assert list(await keyless.parts.records.offered_providers()) == []
        async with running_workers(parts, temporal, [Role.GENERATE]):

            async def told() -> bool:
                return "gemini" in await providers(keyless)

            await until(told, "the worker's offer")
        [offer] = await keyless.parts.records.offered_providers()
        assert offer.default == ("gemini",)
        assert {one.name for one in offer.providers} == {"gemini", "offline"}
        assert secret not in offer.model_dump_json()
        # A worker that is restarted has not taken its offer with it.
        assert await quoted(keyless, provider="gemini") == 200
