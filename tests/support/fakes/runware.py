"""A local server that answers as Runware's API does, well or badly, on demand.

In a test, on the loop of its client::

    async with FakeRunware("503", "png") as runware:   # first 503, then pictures
        ...  # point RUNWARE_BASE_URL at runware.url, RUNWARE_API_KEY at runware.key
        assert runware.received[0].task["width"] == 1376

For whole processes::

    python -m tests.support.fakes.runware --port 8766 --script FILE

Scripts are described in `tests/support/fakes/http.py`. "error:CODE" is an error with that code at HTTP 400,
"error:CODE@STATUS" at another status, and "error:CODE/PARAMETER" one about a parameter.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID, uuid4

from tests.support.fakes.as_process import serve
from tests.support.fakes.http import (
    KEY,
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

ANOTHER_TASK = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Received:
    """One call, with what tests ask about."""

    number: int
    """Which call this is, from 1."""
    prompt: str
    task: dict[str, Any]
    """As it came, with a digest in the place of each reference."""
    references: tuple[Reference, ...]
    body: str
    """The first thousand characters on the wire."""
    headers: dict[str, str]
    """By lower-case name; the key is not kept."""
    uuid: str


def _result(call: Received, kind: str = "PNG", **other: object) -> dict[str, object]:
    data = picture(call.number, call.task["width"], call.task["height"], kind)
    return {
        "taskType": "imageInference",
        "taskUUID": call.uuid,
        "imageUUID": str(uuid4()),
        "imageBase64Data": base64.b64encode(data).decode(),
        "NSFWContent": False,
        "cost": 0.0336,
        **other,
    }


def _written(call: Received, *, url_safe: bool = False, lines: int = 10_000_000) -> str:
    """The base64 of a good picture, in lines of this many characters."""
    data = picture(call.number, call.task["width"], call.task["height"])
    text = (base64.urlsafe_b64encode(data).rstrip(b"=") if url_safe else base64.b64encode(data)).decode()
    return "\r\n".join(text[at : at + lines] for at in range(0, len(text), lines))


def _data(*results: Mapping[str, object], status: int = 200) -> Answer:
    return json_answer({"data": results}, status)


def _error(
    code: str, task: str | None, message: str = "It went wrong.", parameter: str | None = None
) -> dict[str, str]:
    told = {"code": code, "message": message, "parameter": parameter, "taskUUID": task}
    return {name: value for name, value in told.items() if value is not None}


def _errors(*errors: Mapping[str, object], status: int = 400, **headers: str) -> Answer:
    return json_answer({"errors": errors}, status, **headers)


def _named_error(name: str, call: Received) -> Answer:
    parts = re.fullmatch(r"(?P<code>[^/@]+)(?:/(?P<parameter>[^@]+))?(?:@(?P<status>\d+))?", name)
    if parts is None:
        raise ValueError(f"'error:{name}' is not error:CODE, error:CODE/PARAMETER or error:CODE@STATUS")
    told = _error(parts["code"], call.uuid, f"Words about {parts['code']}.", parts["parameter"])
    return _errors(told, status=int(parts["status"] or 400))


def _bad_key(code: str = "invalidApiKey", message: str = "Invalid API key. Get one at https://my.runware.ai") -> Answer:
    return _errors({**_error(code, None, message, "apiKey"), "taskType": "authentication"}, status=401)


def _unknown(call: Received) -> Answer:
    message = f"Invalid value for 'model' parameter: {call.task['model']}."
    return _errors(_error("invalidModel", call.uuid, message, "model"))


def _limited(call: Received, **headers: str) -> Answer:
    return _errors(_error("rateLimitExceeded", call.uuid, "Queue capacity exceeded."), status=429, **headers)


def _soon() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)


ANSWERS: dict[str, Callable[[Received], Answer]] = {
    "png": lambda call: _data(_result(call)),
    "jpeg": lambda call: _data(_result(call, "JPEG")),
    "upper-case-task": lambda call: _data(_result(call, taskUUID=call.uuid.upper())),
    "data-and-errors": lambda call: json_answer(
        {"data": [_result(call)], "errors": [_error("timeoutProvider", call.uuid)]}
    ),
    "data-and-errors-500": lambda call: json_answer(
        {"data": [_result(call)], "errors": [_error("timeoutProvider", call.uuid)]}, 500
    ),
    "broken-and-errors": lambda call: json_answer(
        {"data": [_result(call, imageBase64Data="a%")], "errors": [_error("promptBlocked", call.uuid)]}
    ),
    "another-first": lambda call: _data(
        _result(call, taskUUID=ANOTHER_TASK, imageBase64Data="YW5vdGhlcg=="), _result(call)
    ),
    "another-task": lambda call: _data(_result(call, taskUUID=ANOTHER_TASK)),
    "another-error": lambda call: _errors(_error("invalidWidth", ANOTHER_TASK), status=200),
    "nsfw": lambda call: _data(_result(call, NSFWContent=True)),
    "nsfw-empty": lambda call: _data({"taskUUID": call.uuid, "NSFWContent": True}),
    "nsfw-then-png": lambda call: _data(_result(call, NSFWContent=True), _result(call)),
    "empty-object": lambda call: json_answer({}),
    "empty-data": lambda call: _data(),
    "empty-body": lambda call: Answer(b""),
    "null-data": lambda call: json_answer({"data": None}),
    "no-picture": lambda call: _data({"taskUUID": call.uuid, "cost": 0.0336}),
    "address-only": lambda call: _data({"taskUUID": call.uuid, "imageURL": "https://im.runware.ai/a.png"}),
    "empty-picture": lambda call: _data(_result(call, imageBase64Data="")),
    "number": lambda call: _data(_result(call, imageBase64Data=5)),
    "broken-base64": lambda call: _data(_result(call, imageBase64Data="a%")),
    "cut-base64": lambda call: _data(_result(call, imageBase64Data="iVBOR")),
    "stray-base64": lambda call: _data(_result(call, imageBase64Data="iVBO%Rw0KGgo=")),
    "base64-in-lines": lambda call: _data(_result(call, imageBase64Data=_written(call, lines=76))),
    "url-safe-base64": lambda call: _data(_result(call, imageBase64Data=_written(call, url_safe=True))),
    "data-uri": lambda call: _data(_result(call, imageBase64Data=f"data:image/png;base64,{_written(call)}")),
    "data-uri-field": lambda call: _data(
        _result(call, imageBase64Data=None, imageDataURI=f"data:image/png;base64,{_written(call)}")
    ),
    "null-body": lambda call: Answer(b"null"),
    "text-body": lambda call: json_answer("a picture"),
    "503-inside-200": lambda call: json_answer({"error": {"code": 503, "message": "Overloaded."}}),
    "429-inside-200": lambda call: json_answer({"errors": [{"code": "429", "message": "Wait."}]}, Retry_After="7"),
    "no-objects": lambda call: json_answer({"data": [None, 1, "text", []]}),
    "undecodable": lambda call: _data(_result(call, imageBase64Data="iVBORw0KGgo=")),
    "invalid-json": lambda call: Answer(b'{"data": [{"taskUUID": '),
    "not-utf-8": lambda call: Answer(b'{"data": "\xff"}'),
    "deep": lambda call: Answer(b"[" * 100_000),
    "text-page": lambda call: page(200),
    "list": lambda call: json_answer([{"taskUUID": call.uuid}]),
    "data-no-list": lambda call: json_answer({"data": "a picture"}),
    "dropped": lambda call: dropped(ANSWERS["png"](call).body),
    "dropped-at-once": lambda call: NOTHING,
    "held": lambda call: SILENCE,
    "stalled": lambda call: stalled(ANSWERS["png"](call).body),
    "500": lambda call: _errors(_error("internalServerError", call.uuid), status=500),
    "502": lambda call: page(502),
    "503": lambda call: _errors(_error("serviceUnavailable", call.uuid), status=503),
    "503-retry": lambda call: _errors(_error("serviceUnavailable", call.uuid), status=503, Retry_After="7"),
    "504": lambda call: page(504),
    "408": lambda call: page(408),
    "429": _limited,
    "429-page": lambda call: page(429),
    "429-retry": lambda call: _limited(call, Retry_After="7"),
    "429-date": lambda call: _limited(call, Retry_After=_soon()),
    "429-nonsense": lambda call: _limited(call, Retry_After="later"),
    "401": lambda call: page(401),
    "402": lambda call: _errors(_error("insufficientCredits", call.uuid, "Insufficient credits."), status=402),
    "402-page": lambda call: page(402),
    "403": lambda call: page(403),
    "404": lambda call: page(404),
    "405": lambda call: page(405),
    "413": lambda call: page(413),
    "301": lambda call: Answer(b"", 301, headers={"Location": "/v1"}),
    "308": lambda call: Answer(b"", 308, headers={"Location": "/v1"}),
    "old-error": lambda call: json_answer({"error": _error("invalidApiKey", None, "Invalid API key.")}, 401),
    "without-message": lambda call: _errors({"code": "invalidWidth", "taskUUID": call.uuid}),
    "with-the-key": lambda call: _bad_key(message=f"The key {KEY} is not known, {KEY}!"),
}

FAMILIES: dict[str, Callable[[str, Received], Answer]] = {"error": _named_error}


class FakeRunware(FakeProvider[Received]):
    """The server; RUNWARE_BASE_URL is to be its `url`.

    `balance` is what the account has left; with `account`, questions about it get the answer of that name.
    """

    name = "Runware"
    repertoire = Repertoire(ANSWERS, FAMILIES)
    balance: float = 12.5
    account: str | None = None

    async def respond(self, request: Request) -> Answer:
        """Answer a call for a picture, or describe the account."""
        if (request.method, request.path) != ("POST", "/v1"):
            return page(404)
        kind, _, key = request.headers.pop("authorization", "").partition(" ")
        if (kind, key) != ("Bearer", self.key):
            return _bad_key() if key else _bad_key("missingApiKey", "No API key was given.")
        try:
            (task,) = json.loads(request.body)
            if task["taskType"] == "accountManagement":
                return self._describe(task, request.headers)
            call = _read(self.count + 1, task, request)
        except (ValueError, KeyError, TypeError, AttributeError):
            return _errors(_error("invalidJSON", None, "The request is not an array of tasks."))
        self.count += 1
        known = self.model in (None, task["model"])
        return await self.play(call, None if known else _unknown(call))

    def _describe(self, task: dict[str, Any], headers: dict[str, str]) -> Answer:
        uuid = str(UUID(task["taskUUID"], version=4))
        if self.account is not None:
            about = {**task, "width": 16, "height": 9}
            return self.repertoire.build(self.account, Received(1, "", about, (), "", headers, uuid))
        details = {"operation": task["operation"], "organizationName": "Acme", "balance": self.balance}
        return _data({"taskType": task["taskType"], "taskUUID": uuid, **details})

    def unknown_answer(self, reason: str) -> Answer:
        """As Runware rejects a request."""
        return _errors(_error("invalidPositivePrompt", None, reason, "positivePrompt"))


def _read(number: int, task: dict[str, Any], request: Request) -> Received:
    uris = task.get("inputs", {}).get("referenceImages", [])
    parts = [re.fullmatch(r"data:([a-z]+/[a-z+.-]+);base64,(.*)", uri, re.DOTALL) for uri in uris]
    references = tuple(
        Reference(part[1], hashlib.sha256(base64.b64decode(part[2], validate=True)).hexdigest())
        for part in parts
        if part is not None
    )
    if task["taskType"] != "imageInference" or len(references) != len(uris):
        raise ValueError("no picture is asked for")
    kept = {**task, **({"inputs": {"referenceImages": [ref.sha256 for ref in references]}} if uris else {})}
    return Received(
        number=number,
        prompt=task["positivePrompt"],
        task=kept,
        references=references,
        body=request.body[:1000].decode(),
        headers=request.headers,
        uuid=str(UUID(task["taskUUID"], version=4)),
    )


if __name__ == "__main__":
    serve(FakeRunware, "tests.support.fakes.runware", __doc__)
