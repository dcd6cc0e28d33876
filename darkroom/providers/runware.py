"""Pictures from Runware, which passes them on to Google and others."""

import asyncio
import base64
import json
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Never
from uuid import uuid4

import httpx2

from darkroom.domain.costs import NOTHING
from darkroom.domain.errors import ProviderUnavailable, SettingRejected
from darkroom.domain.images import ImageRequest, ProviderAnswer, ReferenceImage, Refused
from darkroom.domain.orders import Capabilities
from darkroom.domain.retry_after import read_retry_after
from darkroom.providers.answer_room import at_most
from darkroom.providers.connections import (
    CHECK_TIMEOUT,
    checked_base_url,
    checked_key,
    describe,
    open_client,
)
from darkroom.providers.runware_answers import Asked, Reply, read_account, read_picture
from darkroom.providers.wording import whole_prompt

DEFAULT_MODEL = "google:nano-banana@2.1"

DEFAULT_BASE_URL = "https://api.runware.ai"

SIZES: Mapping[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
    "1:4": (512, 2064),
    "4:1": (2064, 512),
    "1:8": (352, 2928),
    "8:1": (2928, 352),
}
"""Width and height of each aspect ratio in pixels: Google's table for Nano Banana 2.1 at 1K.

Runware takes the exact pairs of a model's own table and refuses all others in words that name them.
"""

CAPABILITIES = Capabilities(name="runware", aspect_ratios=tuple(SIZES), max_references=14)


class RunwareProvider:
    """Draws with one of Runware's models; one instance a process, shared by all its calls.

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
        timeout: timedelta,
        max_concurrent: int,
    ) -> None:
        self._key = checked_key("RUNWARE_API_KEY", api_key, "my.runware.ai")
        self.model = _checked_model(model)
        base = checked_base_url("RUNWARE_BASE_URL", base_url or DEFAULT_BASE_URL, DEFAULT_BASE_URL)
        # Runware's own pages give the address with the version.
        self._url = f"{base.rstrip('/').removesuffix('/v1')}/v1"
        self._timeout = timeout
        self._http = open_client(
            max_concurrent, {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        )

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        """Ask for one picture, once.

        Cancelling drops the connection at once; Runware may bill the picture all the same.

        Raises:
            ProviderUnavailable: a transient fault, with the wait Runware asked for, if any.
        """
        size = SIZES.get(request.aspect_ratio)
        if size is None:
            return _not_asked(f"runware does not support the aspect ratio '{request.aspect_ratio}'")
        if request.image_size not in self.capabilities.image_sizes:
            return _not_asked(f"runware does not support the image size '{request.image_size}'")
        asked = self._asked()
        # A thread, so that megabytes of references of many calls do not hold up the heartbeats.
        body = await asyncio.to_thread(_picture_task, asked, request, size)
        reply = await self._post(body, self._timeout, " (RUNWARE_TIMEOUT)")
        return read_picture(reply, asked, jitter=random.random())  # noqa: S311 - spreads retries, is no secret

    async def check(self) -> str | None:
        """Ask for the account's details, which is free: key and address must be right for an answer.

        Whether the model is known shows with the first picture only.

        Raises:
            ProviderUnavailable: Runware cannot be asked now.
        """
        asked = self._asked()
        task = {"taskType": "accountManagement", "taskUUID": str(asked.task), "operation": "getDetails"}
        return read_account(await self._post(_encoded(task), CHECK_TIMEOUT), asked)

    def _asked(self) -> Asked:
        return Asked(task=uuid4(), model=self.model, key=self._key)

    async def _post(self, body: bytes, longest: timedelta, hint: str = "") -> Reply:
        """Runware's reply, whatever it says.

        Raises:
            ProviderUnavailable: there is none.
        """
        limit = longest.total_seconds()
        try:
            async with at_most(limit):
                response = await self._http.post(self._url, content=body)
        except (TimeoutError, httpx2.TimeoutException):
            _unavailable(f"Runware did not answer within {limit:g} s{hint}")
        except httpx2.HTTPError as error:
            _unavailable(f"the connection to Runware at {self._url} failed: {describe(error)}")
        return Reply(
            status=response.status_code,
            body=response.content,
            retry_after=read_retry_after(response.headers.get("Retry-After"), datetime.now(UTC)),
        )

    async def close(self) -> None:
        """Close the connections; calls in progress are dropped. May be called twice."""
        await self._http.aclose()


def _not_asked(reason: str) -> Refused:
    return Refused(reason=reason, final=True, cost_usd=NOTHING)


def _picture_task(asked: Asked, request: ImageRequest, size: tuple[int, int]) -> bytes:
    references = [_data_uri(reference) for reference in request.references]
    return _encoded(
        {
            "taskType": "imageInference",
            "taskUUID": str(asked.task),
            "model": asked.model,
            "positivePrompt": whole_prompt(request.prompt),
            **({"inputs": {"referenceImages": references}} if references else {}),
            "width": size[0],
            "height": size[1],
            "numberResults": 1,
            "outputType": "base64Data",
            "outputFormat": "PNG",
            "includeCost": True,
        }
    )


def _data_uri(reference: ReferenceImage) -> str:
    return f"data:{reference.media_type};base64,{base64.b64encode(reference.data).decode('ascii')}"


def _encoded(task: Mapping[str, object]) -> bytes:
    """The one task as Runware gets it: always in an array."""
    return json.dumps([task]).encode("ascii")


def _unavailable(reason: str) -> Never:
    """Without a cause: causes travel in workflow history, and say no more than the reason."""
    raise ProviderUnavailable(reason) from None


def _checked_model(model: str) -> str:
    if not re.fullmatch(r"[\w.-]+(:[\w.-]+)+@[\w.-]+", model, re.ASCII):
        raise SettingRejected(f"RUNWARE_MODEL is '{model}'; give a model's AIR identifier such as {DEFAULT_MODEL}")
    return model
