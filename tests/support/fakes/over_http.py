"""The providers that are reached over HTTP, each with the server that plays it: one suite runs over all of them."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

import pytest
from PIL import Image

from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, ImageRequest, ProviderAnswer
from darkroom.providers.gemini import GeminiProvider
from darkroom.providers.runware import RunwareProvider
from tests.support.fakes.gemini import FakeGemini
from tests.support.fakes.http import KEY, FakeProvider
from tests.support.fakes.runware import FakeRunware

LONG_ENOUGH = timedelta(seconds=30)
REQUEST = ImageRequest(prompt="A fox in the snow", aspect_ratio="16:9")


P = TypeVar("P", GeminiProvider, RunwareProvider)


@dataclass(frozen=True)
class PlayedProvider(Generic[P]):
    """A provider, and the server that plays it."""

    name: str
    provider: type[P]
    server: type[FakeProvider[Any]]
    model: str

    def setting(self, name: str) -> str:
        """The whole name of one of its settings."""
        return f"{self.name.upper()}_{name}"

    def made(self, **changes: Any) -> P:
        """The provider, with settings that work but for the changes."""
        api_version: dict[str, Any] = {"api_version": None} if self.provider is GeminiProvider else {}
        settings = {
            "api_key": KEY,
            "model": self.model,
            "base_url": "http://127.0.0.1:1",
            "timeout": LONG_ENOUGH,
            "max_concurrent": 24,
        }
        return self.provider(**{**settings, **api_version, **changes})

    @asynccontextmanager
    async def at(self, server: FakeProvider[Any] | str, **changes: Any) -> AsyncIterator[P]:
        """The provider, asking this server, or whatever is at this address."""
        made = self.made(base_url=server if isinstance(server, str) else server.url, **changes)
        try:
            yield made
        finally:
            await made.close()

    async def asked(self, *script: str, request: ImageRequest = REQUEST, **changes: Any) -> ProviderAnswer:
        """What the provider makes of the first answer of a script."""
        async with self.server(*script) as server, self.at(server, **changes) as provider:
            return await provider.generate(request)

    async def fault(self, *script: str, **changes: Any) -> ProviderUnavailable:
        """The passing fault that it must make of it."""
        with pytest.raises(ProviderUnavailable) as caught:
            await self.asked(*script, **changes)
        return caught.value


def decoded(answer: ProviderAnswer) -> tuple[str | None, tuple[int, int]]:
    """Format and size of the picture that an answer must hold."""
    assert isinstance(answer, Generated), answer
    with Image.open(io.BytesIO(answer.data)) as picture:
        picture.load()
        return picture.format, picture.size


GEMINI = PlayedProvider("gemini", GeminiProvider, FakeGemini, "gemini-nano-banana-2.1")
RUNWARE = PlayedProvider("runware", RunwareProvider, FakeRunware, "google:nano-banana@2.1")
