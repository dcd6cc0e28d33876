"""Pictures from Google's Gemini API."""

import random
import re
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Never, TypeVar

import httpx2
from google import genai
from google.genai import types
from google.genai.errors import APIError

from darkroom.domain.errors import ProviderUnavailable, SettingRejected
from darkroom.domain.formats import ImageSize
from darkroom.domain.images import Generated, ImageRequest, ProviderAnswer
from darkroom.domain.orders import Capabilities
from darkroom.domain.retry_after import read_retry_after
from darkroom.providers.answer_room import at_most
from darkroom.providers.connections import CHECK_TIMEOUT, checked_base_url, checked_key, describe, open_client, trust
from darkroom.providers.gemini_answers import Asked, read_body, read_error
from darkroom.providers.wording import whole_prompt

T = TypeVar("T")

CAPABILITIES = Capabilities(
    name="gemini",
    aspect_ratios=(
        *("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4"),
        *("9:16", "16:9", "21:9", "1:4", "4:1", "1:8", "8:1"),
    ),
    max_references=14,
    image_sizes=tuple(ImageSize),
)

DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com/"

DEFAULT_API_VERSION = "v1beta"
"""The SDK's own default is v1; every example of this model uses v1beta."""


class GeminiProvider:
    """Draws with one Gemini model; one instance a process, shared by all its calls.

    Raises:
        SettingRejected: a setting that cannot belong to a working connection, named with its remedy.
    """

    capabilities: Capabilities = CAPABILITIES

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None,
        api_version: str | None,
        timeout: timedelta,
        max_concurrent: int,
    ) -> None:
        key = checked_key("GEMINI_API_KEY", api_key, "Google AI Studio")
        self.model = _checked_model(model)
        self._base_url = checked_base_url("GEMINI_BASE_URL", base_url or DEFAULT_BASE_URL, DEFAULT_BASE_URL)
        self._timeout = timeout
        # Our own HTTP client: it sets the size of the pool, and the SDK does not swap it for aiohttp, whose
        # errors are others, when some package happens to bring that along.
        self._http = open_client(max_concurrent)
        self._client = genai.Client(
            api_key=key,
            vertexai=False,  # not left to GOOGLE_GENAI_USE_VERTEXAI, under which the key means another thing
            http_options=types.HttpOptions(
                base_url=self._base_url,
                api_version=api_version or DEFAULT_API_VERSION,
                # Every attempt is Temporal's, so that each shows and is counted there.
                retry_options=types.HttpRetryOptions(attempts=1),
                # No `timeout`: it is per read, and the SDK tells Google too, which rejects any below 10 s.
                httpx_async_client=self._http,
                # For the clients that we never use; the SDK would read the certificates twice more for them.
                async_client_args={"verify": trust(), "ssl": trust()},
            ),
        )

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        """Ask for one picture, once.

        Cancelling drops the connection at once; Google may bill the picture all the same.

        Raises:
            ProviderUnavailable: a transient fault, with the wait Google asked for, if any.
        """
        answer = await self._ask(
            self._client.aio.models.generate_content(
                model=self.model, contents=_contents(request), config=_config(request)
            ),
            self._timeout,
        )
        if not isinstance(answer, types.GenerateContentResponse):
            return answer
        raw = answer.sdk_http_response
        return read_body((raw.body if raw else None) or "", self._asked((raw.headers if raw else None) or {}))

    async def check(self) -> str | None:
        """Ask for the model's description, which is free: key, model and address must be right for an answer.

        Raises:
            ProviderUnavailable: Google cannot be asked now.
        """
        answer = await self._ask(self._client.aio.models.get(model=self.model), CHECK_TIMEOUT)
        if isinstance(answer, types.Model):
            if answer.name is None:
                _unavailable(f"Gemini does not say whether it knows the model '{self.model}'")
            return None
        return None if isinstance(answer, Generated) else answer.reason

    async def _ask(self, call: Awaitable[T], longest: timedelta) -> T | ProviderAnswer:
        """What the SDK answers, or what its error means.

        Raises:
            ProviderUnavailable: a transient fault, with the wait Google asked for, if any.
        """
        limit = longest.total_seconds()
        try:
            async with at_most(limit):
                return await call
        except APIError as error:
            return read_error(error, self._asked(getattr(error.response, "headers", None) or {}))
        except (TimeoutError, httpx2.TimeoutException):
            _unavailable(f"Gemini did not answer within {limit:g} s (GEMINI_TIMEOUT)")
        except httpx2.HTTPError as error:
            _unavailable(f"the connection to Gemini at {self._base_url} failed: {describe(error)}")
        except Exception as error:  # noqa: BLE001 - the SDK promises no error types for a garbled answer
            _unavailable(f"Gemini's answer could not be read: {type(error).__name__}")

    def _asked(self, headers: Mapping[str, str]) -> Asked:
        now = datetime.now(UTC)
        named = {name.lower(): value for name, value in headers.items()}
        return Asked(
            model=self.model,
            now=now,
            jitter=random.random(),  # noqa: S311 - spreads retries, is no secret
            retry_after=read_retry_after(named.get("retry-after"), now),
        )

    async def close(self) -> None:
        """Close the connections; calls in progress are dropped. May be called twice."""
        await self._http.aclose()
        self._client.close()


def _contents(request: ImageRequest) -> list[types.PartUnion]:
    """The references in their order, then the prompt."""
    return [
        *(types.Part.from_bytes(data=ref.data, mime_type=ref.media_type) for ref in request.references),
        whole_prompt(request.prompt),
    ]


def _config(request: ImageRequest) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        response_modalities=["IMAGE"],
        # As it came: the SDK's models reject whole answers for one field, and know no error in an HTTP 200.
        should_return_http_response=True,
        image_config=types.ImageConfig(aspect_ratio=request.aspect_ratio, image_size=request.image_size),
        # Both would make the SDK call again by itself: calls that are paid for and counted nowhere.
        automatic_continuation=False,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


def _unavailable(reason: str) -> Never:
    """Without a cause: the SDK's errors quote whole answers, and causes travel in workflow history."""
    raise ProviderUnavailable(reason) from None


def _checked_model(model: str) -> str:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model, re.ASCII) or ".." in model:
        raise SettingRejected(f"GEMINI_MODEL is '{model}'; give a model's name such as gemini-nano-banana-2.1")
    return model
