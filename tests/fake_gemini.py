"""A local server that answers as Google's Gemini API does, well or badly, on demand.

In a test, on the loop of its client::

    async with FakeGemini("503", "png") as gemini:   # first 503, then pictures
        ...  # point GEMINI_BASE_URL at gemini.url, GEMINI_API_KEY at gemini.key
        assert gemini.received[0].aspect_ratio == "16:9"

For whole processes::

    python -m tests.fake_gemini --port 8765 --script FILE

A script holds an answer's name a line, with how often it is given where that is not once ("503 x3"), and
comments after "#". When it is through, every further call gets `--answer`. A prompt that holds
"{answer:NAME}" gets that answer whatever the script says, and takes none from it. `GET /requests` lists
the calls that came.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import io
import json
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from PIL import Image

KEY = "fake-key"
AREA = 320 * 180
"""Pixels of a picture: enough to be one, small enough to encode at once."""

_TYPE = "type.googleapis.com/google.rpc."
_MODEL = re.compile(r"/(?P<version>[^/]+)/models/(?P<model>[^/:]+)")
_CALL = re.compile(r"/(?P<version>[^/]+)/models/(?P<model>[^/:]+):generateContent")


@dataclass(frozen=True)
class Reference:
    """An input image as it came over the wire."""

    media_type: str
    sha256: str


@dataclass(frozen=True)
class Received:
    """One call, with what tests ask about."""

    number: int
    """Which call this is, from 1."""
    version: str
    model: str
    prompt: str
    aspect_ratio: str | None
    modalities: tuple[str, ...]
    references: tuple[Reference, ...]
    part_kinds: tuple[str, ...]
    """The keys of the parts, in their order, such as ("inlineData", "text")."""
    headers: dict[str, str]
    """By lower-case name; the key is not kept."""


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    media_type: str = "application/json; charset=UTF-8"
    sent: float = 1.0
    """The share of the body that is sent."""
    hangs: bool = False
    """Whether the rest never comes; with nothing sent, not even the headers do."""


def _json(value: object, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status)


def _picture(call: Received, kind: str = "PNG") -> dict[str, object]:
    """A part with a picture of the wanted shape, in a colour of its own."""
    width, height = map(int, (call.aspect_ratio or "1:1").split(":"))
    scale = (AREA / (width * height)) ** 0.5
    colour = (call.number * 67 % 256, call.number * 131 % 256, call.number // 256 % 256)
    file = io.BytesIO()
    Image.new("RGB", (round(width * scale), round(height * scale)), colour).save(file, kind)
    return _inline(file.getvalue(), f"image/{kind.lower()}")


def _inline(data: bytes, media_type: str = "image/png") -> dict[str, object]:
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}


def _parts(*parts: Mapping[str, object], reason: str = "STOP") -> Answer:
    content = {"role": "model", "parts": parts}
    return _json({"candidates": [{"index": 0, "content": content, "finishReason": reason}]})


def _without_parts(reason: str, **candidate: object) -> Answer:
    return _json({"candidates": [{"index": 0, "finishReason": reason, **candidate}]})


def error(code: int, status: str, message: str, *details: Mapping[str, object]) -> Answer:
    """An answer with Google's error body."""
    body = {"code": code, "message": message, "status": status}
    return _json({"error": {**body, "details": details} if details else body}, code)


def _reason(reason: str) -> dict[str, object]:
    return {"@type": f"{_TYPE}ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def _rate_limit(quota_id: str | None, message: str, delay: str | None = None) -> Answer:
    details: list[dict[str, object]] = []
    if quota_id:
        details.append({"@type": f"{_TYPE}QuotaFailure", "violations": [{"quotaId": quota_id}]})
    if delay:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": delay})
    return error(429, "RESOURCE_EXHAUSTED", message, *details)


def _bad_key() -> Answer:
    message = "API key not valid. Please pass a valid API key."
    return error(400, "INVALID_ARGUMENT", message, _reason("API_KEY_INVALID"))


def _page(code: int) -> Answer:
    return Answer(f"<!DOCTYPE html><title>{code}</title>".encode(), code, "text/html")


def _unknown(model: str, version: str) -> Answer:
    return error(404, "NOT_FOUND", f"models/{model} is not found for API version {version}.")


def _whole(call: Received) -> bytes:
    return _parts(_picture(call)).body


_DAILY = "GenerateRequestsPerDayPerProjectPerModel"
_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel"

ANSWERS: dict[str, Callable[[Received], Answer]] = {
    "png": lambda call: _parts(_picture(call)),
    "jpeg": lambda call: _parts(_picture(call, "JPEG")),
    "thought-first": lambda call: _parts(
        {"text": "A sketch first.", "thought": True},
        {**_inline(b"a sketch"), "thought": True},
        {"text": "Here it is."},
        _picture(call),
    ),
    "two-pictures": lambda call: _parts(_inline(b"the first"), _picture(call)),
    "thought-only": lambda call: _parts({**_picture(call), "thought": True}),
    "text-only": lambda call: _parts({"text": "I would rather describe it."}),
    "no-candidates": lambda call: _json({"usageMetadata": {"promptTokenCount": 5}}),
    "empty-candidates": lambda call: _json({"candidates": []}),
    "no-content": lambda call: _without_parts("STOP"),
    "no-parts": lambda call: _without_parts("STOP", content={"role": "model"}),
    "empty-parts": lambda call: _parts(),
    "empty-picture": lambda call: _parts({"inlineData": {"mimeType": "image/png"}}),
    "undecodable": lambda call: _parts(_inline(b"\x89PNG\r\n\x1a\n and then nothing of the kind")),
    "continuation": lambda call: _without_parts("CONTINUATION", continuationToken="bW9yZQ=="),
    "invalid-json": lambda call: Answer(b'{"candidates": [{"content": '),
    "wrong-shape": lambda call: _without_parts("STOP", content="a picture"),
    "invalid-base64": lambda call: _parts({"inlineData": {"mimeType": "image/png", "data": "a%"}}),
    "empty-body": lambda call: Answer(b""),
    "dropped": lambda call: Answer(_whole(call), sent=0.5),
    "dropped-at-once": lambda call: Answer(b"", sent=0),
    "held": lambda call: Answer(b"", sent=0, hangs=True),
    "stalled": lambda call: Answer(_whole(call), sent=0.5, hangs=True),
    "500": lambda call: error(500, "INTERNAL", "An internal error has occurred."),
    "502": lambda call: _page(502),
    "503": lambda call: error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "503-retry": lambda call: error(
        503, "UNAVAILABLE", "The model is overloaded.", {"@type": f"{_TYPE}RetryInfo", "retryDelay": "7s"}
    ),
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
    "404-page": lambda call: _page(404),
    "301": lambda call: _page(301),
    "failed-precondition": lambda call: error(
        400, "FAILED_PRECONDITION", "User location is not supported for the API use."
    ),
    "400": lambda call: error(400, "INVALID_ARGUMENT", "Unable to process input image."),
    "413": lambda call: error(413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
}

FAMILIES: dict[str, Callable[[str], Answer]] = {
    "blocked": lambda reason: _json({"promptFeedback": {"blockReason": reason}}),
    "finish": lambda reason: _without_parts(reason, content={}, finishMessage="Try another prompt."),
}
"""Answers named FAMILY:REASON, for any reason, known to Google's package or not."""


class FakeGemini:
    """The server; an asynchronous context manager.

    Answers come from `script` in its order, then from `then`. `together` holds all answers until that many
    calls are under way at once; `latency` (seconds) delays every answer; with `model`, others are not found.
    """

    def __init__(
        self,
        *script: str,
        then: str = "png",
        key: str = KEY,
        port: int = 0,
        latency: float = 0,
        together: int = 1,
        model: str | None = None,
    ) -> None:
        for name in (*script, then):
            check(name)
        self.key = key
        self.received: deque[Received] = deque(maxlen=10_000)
        self.count = 0
        """Calls with the right key so far."""
        self.under_way = 0
        self.most_under_way = 0
        self.connections = 0
        """Connections that are open now."""
        self._script = deque(script)
        self._then = then
        self._port = port
        self._latency = latency
        self._together = asyncio.Barrier(together)
        self._model = model
        self._changed = asyncio.Condition()
        self._handlers: set[asyncio.Task[object]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """What GEMINI_BASE_URL is to be."""
        assert self._server is not None, "the server runs inside `async with` only"
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds; it is asked whenever a call or a connection comes or goes."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self.connections += 1
        try:
            # A client that hangs up is no fault of the server, and neither is the end of the server: asyncio
            # before 3.12 reports a handler that was cancelled.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            self.connections -= 1
            self._handlers.discard(task)
            writer.transport.abort()
            await self._notify()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may be used again."""
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        method, path, _ = request.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answer = await self._answer(method, path, headers, body)
            return await _send(answer, reader, writer)
        finally:
            self.under_way -= 1
            await self._notify()

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if (method, path) == ("GET", "/requests"):
            return _json([asdict(call) for call in self.received])
        model = _MODEL.fullmatch(path)
        if method == "GET" and model is not None:
            return self._describe(model["model"], model["version"], headers)
        call = _CALL.fullmatch(path)
        if method != "POST" or call is None:
            return _page(404)
        if headers.pop("x-goog-api-key", None) != self.key:
            return _bad_key()
        self.count += 1
        try:
            received = _read(self.count, call["version"], call["model"], headers, json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError):
            return error(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
        return await self._answer_call(received)

    def _describe(self, model: str, version: str, headers: dict[str, str]) -> Answer:
        if headers.get("x-goog-api-key") != self.key:
            return _bad_key()
        if self._model not in (None, model):
            return _unknown(model, version)
        return _json({"name": f"models/{model}", "supportedGenerationMethods": ["generateContent"]})

    async def _answer_call(self, call: Received) -> Answer:
        self.received.append(call)
        await self._notify()
        await self._together.wait()
        await asyncio.sleep(self._latency)
        if self._model not in (None, call.model):
            return _unknown(call.model, call.version)
        name = self._next(call.prompt)
        try:
            check(name)
        except ValueError as unknown:
            return error(400, "INVALID_ARGUMENT", str(unknown))
        return _build(name, call)

    def _next(self, prompt: str) -> str:
        asked_for = re.search(r"\{answer:([^}]+)\}", prompt)
        if asked_for:
            return asked_for[1]
        return self._script.popleft() if self._script else self._then


def check(name: str) -> None:
    """Raise a ValueError that says what is known when there is no such answer."""
    family, colon, _ = name.partition(":")
    if name not in ANSWERS and not (colon and family in FAMILIES):
        raise ValueError(f"no answer is named '{name}'; known: {', '.join(known())}")


def known() -> Iterable[str]:
    """The names of all answers."""
    return (*ANSWERS, *(f"{family}:REASON" for family in FAMILIES))


def _build(name: str, call: Received) -> Answer:
    family, _, reason = name.partition(":")
    return FAMILIES[family](reason) if family in FAMILIES else ANSWERS[name](call)


async def _send(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
        f"Content-Type: {answer.media_type}\r\nContent-Length: {len(answer.body)}\r\n\r\n"
    )
    if answer.sent:
        writer.write(head.encode() + answer.body[: round(len(answer.body) * answer.sent)])
        await writer.drain()
    if answer.hangs:
        await reader.read()  # comes back when the client hangs up
    if answer.sent < 1 and not answer.hangs:
        writer.close()  # lets what was sent arrive first
        await writer.wait_closed()
    return answer.sent == 1


def _read(number: int, version: str, model: str, headers: dict[str, str], body: Any) -> Received:
    parts = [part for content in body["contents"] for part in content["parts"]]
    config = body.get("generationConfig", {})
    return Received(
        number=number,
        version=version,
        model=model,
        prompt="\n".join(part["text"] for part in parts if "text" in part),
        aspect_ratio=config.get("imageConfig", {}).get("aspectRatio"),
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


def read_script(text: str) -> list[str]:
    """The answers of a script, one for each call."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    steps = (re.fullmatch(r"(\S+)(?:\s+x(\d+))?", line) for line in lines if line)
    names: list[str] = []
    for step in steps:
        if step is None:
            raise ValueError("a script's line is an answer's name, then maybe how often, as in '503 x3'")
        names += [step[1]] * int(step[2] or 1)
    return names


async def _run(server: FakeGemini) -> None:
    stopped = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    async with server:
        sys.stdout.write(f"fake Gemini at {server.url}, key {server.key}\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> None:
    """Serve until interrupted; the address is on the first line of output."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fake_gemini",
        description=__doc__,
        epilog=f"answers: {', '.join(known())}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--key", default=KEY, help=f"the key that is right (default {KEY})")
    parser.add_argument("--model", help="the only model there is (default: there are all)")
    parser.add_argument("--script", type=Path, help="a file with an answer's name a line")
    parser.add_argument("--answer", default="png", help="what is answered after the script (default png)")
    parser.add_argument("--latency", type=float, default=0, help="seconds before each answer (default 0)")
    given = parser.parse_args()
    try:
        server = FakeGemini(
            *(read_script(given.script.read_text()) if given.script else ()),
            then=given.answer,
            key=given.key,
            port=given.port,
            latency=given.latency,
            model=given.model,
        )
    except (ValueError, OSError) as problem:
        parser.error(str(problem))
    asyncio.run(_run(server))


if __name__ == "__main__":
    main()
