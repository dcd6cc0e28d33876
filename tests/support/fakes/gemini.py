"""A local server that answers as Google's Gemini API does, well or badly, on demand.

In a test, on the loop of its client::

    async with FakeGemini("503", "png") as gemini:   # first 503, then pictures
        ...  # point GEMINI_BASE_URL at gemini.url, GEMINI_API_KEY at gemini.key
        assert gemini.received[0].aspect_ratio == "16:9"

For whole processes::

    python -m tests.support.fakes.gemini --port 8765 --script FILE

Scripts are described in `tests/support/fakes/http.py`.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.support.fakes.as_process import serve
from tests.support.fakes.http import (
    NOTHING,
    SILENCE,
    Answer,
    FakeProvider,
    Reference,
    Repertoire,
    Request,
    dropped,
    json_answer,
    page,
    picture,
    stalled,
)

_TYPE = "type.googleapis.com/google.rpc."
_MODEL = re.compile(r"/(?P<version>[^/]+)/models/(?P<model>[^/:]+)")
_CALL = re.compile(r"/(?P<version>[^/]+)/models/(?P<model>[^/:]+):generateContent")


@dataclass(frozen=True)
class Received:
    """One call, with what tests ask about."""

    number: int
    """Which call this is, from 1."""
    version: str
    model: str
    prompt: str
    aspect_ratio: str | None
    image_size: str | None
    modalities: tuple[str, ...]
    references: tuple[Reference, ...]
    part_kinds: tuple[str, ...]
    """The keys of the parts, in their order, such as ("inlineData", "text")."""
    headers: dict[str, str]
    """By lower-case name; the key is not kept."""


def _picture(call: Received, kind: str = "PNG") -> dict[str, object]:
    """A part with a picture of the wanted shape, in a colour of its own."""
    across, down = map(int, (call.aspect_ratio or "1:1").split(":"))
    return _inline(picture(call.number, across, down, kind), f"image/{kind.lower()}")


def _inline(data: bytes, media_type: str = "image/png") -> dict[str, object]:
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}


def _parts(*parts: Mapping[str, object], reason: str = "STOP", usage: Mapping[str, object] | None = None) -> Answer:
    content = {"role": "model", "parts": parts}
    billed = {} if usage is None else {"usageMetadata": usage, "modelVersion": "gemini-nano-banana-2.1"}
    return json_answer({"candidates": [{"index": 0, "content": content, "finishReason": reason}], **billed})


_PROMPT_USED = {
    "promptTokenCount": 270,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}, {"modality": "IMAGE", "tokenCount": 258}],
}
_PICTURE_USED = {
    "candidatesTokenCount": 1120,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    "totalTokenCount": 1390,
}


def _without_parts(reason: str, **candidate: object) -> Answer:
    return json_answer({"candidates": [{"index": 0, "finishReason": reason, **candidate}]})


def error(code: int, status: str, message: str, *details: Mapping[str, object]) -> Answer:
    """An answer with Google's error body."""
    body = {"code": code, "message": message, "status": status}
    return json_answer({"error": {**body, "details": details} if details else body}, code)


def _reason(reason: str) -> dict[str, object]:
    return {"@type": f"{_TYPE}ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def _rate_limit(quota_id: str | None, message: str, delay: str | None = None, limit: str | None = None) -> Answer:
    details: list[dict[str, object]] = []
    if quota_id:
        violation = {"quotaId": quota_id, **({"quotaValue": limit} if limit is not None else {})}
        details.append({"@type": f"{_TYPE}QuotaFailure", "violations": [violation]})
    if delay:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": delay})
    return error(429, "RESOURCE_EXHAUSTED", message, *details)


def _written(call: Received, *, url_safe: bool = False, lines: int = 0, uri: bool = False) -> Answer:
    """A good picture, its base64 as some proxies and gateways write it."""
    data = picture(call.number, 16, 9, "PNG")
    text = (base64.urlsafe_b64encode(data).rstrip(b"=") if url_safe else base64.b64encode(data)).decode()
    if lines:
        text = "\r\n".join(text[at : at + lines] for at in range(0, len(text), lines)) + "\n"
    prefix = "data:image/png;base64," if uri else ""
    return _parts({"inlineData": {"mimeType": "image/png", "data": prefix + text}})


def inside_200(refusal: Answer, **headers: str) -> Answer:
    """The body of an error under the status of a success."""
    return replace(refusal, status=200, headers={name.replace("_", "-"): text for name, text in headers.items()})


def _bad_key() -> Answer:
    message = "API key not valid. Please pass a valid API key."
    return error(400, "INVALID_ARGUMENT", message, _reason("API_KEY_INVALID"))


def _unknown(model: str, version: str) -> Answer:
    return error(404, "NOT_FOUND", f"models/{model} is not found for API version {version}.")


def _whole(call: Received) -> bytes:
    return _parts(_picture(call)).body


_DAILY = "GenerateRequestsPerDayPerProjectPerModel"
_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel"

ANSWERS: dict[str, Callable[[Received], Answer]] = {
    "png": lambda call: _parts(_picture(call)),
    "jpeg": lambda call: _parts(_picture(call, "JPEG")),
    "billed": lambda call: _parts(_picture(call), usage={**_PROMPT_USED, **_PICTURE_USED}),
    "billed-undecodable": lambda call: _parts(
        _inline(b"\x89PNG\r\n\x1a\n and then nothing of the kind"), usage={**_PROMPT_USED, **_PICTURE_USED}
    ),
    "billed-text": lambda call: _parts(
        {"text": "I would rather describe it."},
        usage={**_PROMPT_USED, "candidatesTokenCount": 100, "totalTokenCount": 370},
    ),
    "thought-first": lambda call: _parts(
        {"text": "A sketch first.", "thought": True},
        {**_inline(b"a sketch"), "thought": True},
        {"text": "Here it is."},
        _picture(call),
    ),
    "two-pictures": lambda call: _parts(_inline(b"the first"), _picture(call)),
    "thought-only": lambda call: _parts({**_picture(call), "thought": True}),
    "text-only": lambda call: _parts({"text": "I would rather describe it."}),
    "no-candidates": lambda call: json_answer({"usageMetadata": {"promptTokenCount": 5}}),
    "empty-candidates": lambda call: json_answer({"candidates": []}),
    "no-content": lambda call: _without_parts("STOP"),
    "no-parts": lambda call: _without_parts("STOP", content={"role": "model"}),
    "empty-parts": lambda call: _parts(),
    "empty-picture": lambda call: _parts({"inlineData": {"mimeType": "image/png"}}),
    "undecodable": lambda call: _parts(_inline(b"\x89PNG\r\n\x1a\n and then nothing of the kind")),
    "continuation": lambda call: _without_parts("CONTINUATION", continuationToken="bW9yZQ=="),
    "invalid-json": lambda call: Answer(b'{"candidates": [{"content": '),
    "wrong-shape": lambda call: _without_parts("STOP", content="a picture"),
    "invalid-base64": lambda call: _parts({"inlineData": {"mimeType": "image/png", "data": "a%"}}),
    "cut-base64": lambda call: _parts({"inlineData": {"mimeType": "image/png", "data": "iVBOR"}}),
    "number-base64": lambda call: _parts({"inlineData": {"mimeType": "image/png", "data": 5}}),
    "base64-in-lines": lambda call: _written(call, lines=76),
    "url-safe-base64": lambda call: _written(call, url_safe=True),
    "data-uri": lambda call: _written(call, uri=True),
    "data-uri-in-lines": lambda call: _written(call, uri=True, url_safe=True, lines=60),
    "unknown-keys": lambda call: json_answer(
        {
            "candidates": [{"content": {"parts": [_picture(call)], "role": 5}, "index": "x", "novel": []}],
            "usageMetadata": "much",
            "modelVersion": None,
        }
    ),
    "empty-body": lambda call: Answer(b""),
    "null-body": lambda call: Answer(b"null"),
    "null-candidates": lambda call: json_answer({"candidates": None, "promptFeedback": None, "error": None}),
    "null-candidate": lambda call: json_answer({"candidates": [None]}),
    "null-content": lambda call: _without_parts("STOP", content=None),
    "null-parts": lambda call: _without_parts("STOP", content={"parts": None}),
    "null-part": lambda call: _without_parts("STOP", content={"parts": [None]}),
    "null-picture": lambda call: _parts({"inlineData": {"mimeType": "image/png", "data": None}}),
    "null-inline": lambda call: _parts({"inlineData": None, "text": None, "thought": None}),
    "null-reason": lambda call: json_answer({"candidates": [{"finishReason": None, "content": {"parts": []}}]}),
    "list-body": lambda call: json_answer([1, 2]),
    "empty-list": lambda call: json_answer([]),
    "text-body": lambda call: json_answer("a picture"),
    "number-body": lambda call: json_answer(7),
    "candidates-text": lambda call: json_answer({"candidates": "a picture"}),
    "error-text": lambda call: json_answer({"error": "no picture today"}),
    "page-200": lambda call: page(200),
    "dropped": lambda call: dropped(_whole(call)),
    "dropped-at-once": lambda call: NOTHING,
    "held": lambda call: SILENCE,
    "stalled": lambda call: stalled(_whole(call)),
    "500": lambda call: error(500, "INTERNAL", "An internal error has occurred."),
    "502": lambda call: page(502),
    "503": lambda call: error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "503-retry": lambda call: error(
        503, "UNAVAILABLE", "The model is overloaded.", {"@type": f"{_TYPE}RetryInfo", "retryDelay": "7s"}
    ),
    "503-header": lambda call: replace(error(503, "UNAVAILABLE", "Overloaded."), headers={"Retry-After": "7"}),
    "503-header-longer": lambda call: replace(
        error(503, "UNAVAILABLE", "Overloaded.", {"@type": f"{_TYPE}RetryInfo", "retryDelay": "7s"}),
        headers={"retry-after": "40"},
    ),
    "503-page-header": lambda call: replace(page(503), headers={"Retry-After": "7"}),
    "503-inside-200-header": lambda call: inside_200(error(503, "UNAVAILABLE", "Overloaded."), Retry_After="7"),
    "429-header": lambda call: replace(_rate_limit(_MINUTE, "Wait.", "20s"), headers={"Retry-After": "40"}),
    "429-header-shorter": lambda call: replace(_rate_limit(_MINUTE, "Wait.", "40s"), headers={"Retry-After": "20"}),
    "429-header-soon": lambda call: replace(_rate_limit(_MINUTE, "Wait."), headers={"Retry-After": "1"}),
    "429-header-inside-200": lambda call: inside_200(_rate_limit(_MINUTE, "Wait."), Retry_After="40"),
    "429-free-tier-minute": lambda call: _rate_limit(f"{_MINUTE}-FreeTier", "limit: 10, model: m", "20s", "10"),
    "429-free-tier-minute-value": lambda call: _rate_limit(f"{_MINUTE}-FreeTier", "Quota exceeded.", None, "10"),
    "429-free-tier-minute-message": lambda call: _rate_limit(f"{_MINUTE}-FreeTier", "Exceeded, limit: 10, model: m"),
    "429-free-tier-day": lambda call: _rate_limit(f"{_DAILY}-FreeTier", "Quota exceeded, limit: 100", "40s", "100"),
    "429-free-tier-0": lambda call: _rate_limit(f"{_MINUTE}-FreeTier", "Quota exceeded.", "40s", "0"),
    "504": lambda call: error(504, "DEADLINE_EXCEEDED", "The request timed out."),
    "408": lambda call: error(408, "CANCELLED", "Request timeout."),
    "429": lambda call: _rate_limit(None, "Resource has been exhausted (e.g. check quota)."),
    "429-retry": lambda call: _rate_limit(_MINUTE, "Please retry in 23.4s.", "23.4s"),
    "429-retry-soon": lambda call: _rate_limit(_MINUTE, "Please retry in 0.5s.", "0.5s"),
    "429-per-day": lambda call: _rate_limit(_DAILY, "Quota exceeded, limit: 2000.", "40s"),
    "429-limit-0": lambda call: _rate_limit(None, "Quota exceeded for metric: requests, limit: 0, model: m"),
    "429-free-tier": lambda call: _rate_limit(f"{_DAILY}-FreeTier", "You exceeded your quota.", "40s"),
    "api-key-invalid": lambda call: _bad_key(),
    "401": lambda call: error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "403": lambda call: error(403, "PERMISSION_DENIED", "Gemini API is disabled.", _reason("SERVICE_DISABLED")),
    "404": lambda call: _unknown(call.model, call.version),
    "404-page": lambda call: page(404),
    "301": lambda call: page(301),
    "failed-precondition": lambda call: error(
        400, "FAILED_PRECONDITION", "User location is not supported for the API use."
    ),
    "400": lambda call: error(400, "INVALID_ARGUMENT", "Unable to process input image."),
    "413": lambda call: error(413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
}

FAMILIES: dict[str, Callable[[str, Received], Answer]] = {
    "blocked": lambda reason, call: json_answer({"promptFeedback": {"blockReason": reason}}),
    "inside-200": lambda name, call: inside_200(ANSWERS[name](call)),
    "coded": lambda code, call: json_answer({"error": {"code": int(code), "message": "Words."}}),
    "named": lambda status, call: json_answer({"error": {"status": status, "message": "Words."}}),
    "finish": lambda reason, call: _without_parts(reason, content={}, finishMessage="Try another prompt."),
}
"""Answers named FAMILY:REASON, for any reason, known to Google's package or not."""


class FakeGemini(FakeProvider[Received]):
    """The server; GEMINI_BASE_URL is to be its `url`."""

    name = "Gemini"
    repertoire = Repertoire(ANSWERS, FAMILIES)

    async def respond(self, request: Request) -> Answer:
        """Describe a model, or answer a call for a picture."""
        model = _MODEL.fullmatch(request.path)
        if request.method == "GET" and model is not None:
            return self._describe(model["model"], model["version"], request.headers)
        call = _CALL.fullmatch(request.path)
        if request.method != "POST" or call is None:
            return page(404)
        if request.headers.pop("x-goog-api-key", None) != self.key:
            return _bad_key()
        self.count += 1
        try:
            received = _read(self.count, call["version"], call["model"], request.headers, json.loads(request.body))
        except (ValueError, KeyError, TypeError, AttributeError):
            return error(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
        known = self.model in (None, received.model)
        return await self.play(received, None if known else _unknown(received.model, received.version))

    def _describe(self, model: str, version: str, headers: dict[str, str]) -> Answer:
        if headers.get("x-goog-api-key") != self.key:
            return _bad_key()
        if self.model not in (None, model):
            return _unknown(model, version)
        return json_answer({"name": f"models/{model}", "supportedGenerationMethods": ["generateContent"]})

    def unknown_answer(self, reason: str) -> Answer:
        """As Google rejects a request."""
        return error(400, "INVALID_ARGUMENT", reason)


def _read(number: int, version: str, model: str, headers: dict[str, str], body: Any) -> Received:
    parts = [part for content in body["contents"] for part in content["parts"]]
    config = body.get("generationConfig", {})
    return Received(
        number=number,
        version=version,
        model=model,
        prompt="\n".join(part["text"] for part in parts if "text" in part),
        aspect_ratio=config.get("imageConfig", {}).get("aspectRatio"),
        image_size=config.get("imageConfig", {}).get("imageSize"),
        modalities=tuple(config.get("responseModalities", ())),
        references=tuple(
            Reference(
                # The SDK writes this key in snake case and the bytes in the URL's alphabet; Google takes both.
                media_type=blob.get("mimeType") or blob["mime_type"],
                sha256=hashlib.sha256(base64.urlsafe_b64decode(blob["data"])).hexdigest(),
            )
            for blob in (part["inlineData"] for part in parts if "inlineData" in part)
        ),
        part_kinds=tuple(kind for part in parts for kind in part),
        headers=headers,
    )


if __name__ == "__main__":
    serve(FakeGemini, "tests.support.fakes.gemini", __doc__)
