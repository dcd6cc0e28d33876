"""The provider of a proof, in a process of its own: Gemini's API, faults on demand, and an account of every call.

    python -P -m darkroom.proof.provider FOLDER --port PORT --seed SEED

`faults.json` in the folder says which share of the calls fails how, from the next call on, and `pace.json` from how
many to how many seconds a call takes. `calls.jsonl` has a line when a call begins and one when it has ended. The
version in a call's path is the worker that made it.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import re
import signal
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from darkroom.proof.account import CALLS_FILE
from darkroom.proof.marks import Mark, drawn, prompt_mark

HOST = "127.0.0.1"
KEY = "fake-key"
LATENCY = 0.2, 2.0
SLOW = 3.0, 5.0
FAULTS_FILE = "faults.json"
PACE_FILE = "pace.json"
STRAY = "f00dcafe"
"""The mark of an answer that nobody asked for; no prompt has it."""
TWICE, SLOWLY = "twice", "slow"
_CALL = re.compile(r"/(?P<version>[^/]+)/models/[^/:]+:generateContent")


class Answer(NamedTuple):
    """What goes back."""

    body: bytes
    status: int = 200
    sent: float = 1.0
    """The share of it that is sent."""
    hangs: bool = False
    """Whether the rest never comes."""
    retry_after: int | None = None


def _json(value: object, status: int = 200, retry_after: int | None = None) -> Answer:
    return Answer(json.dumps(value).encode(), status, retry_after=retry_after)


def _parts(data: str, reason: str = "STOP") -> Answer:
    picture = {"inlineData": {"mimeType": "image/png", "data": data}}
    return _json(
        {"candidates": [{"index": 0, "content": {"role": "model", "parts": [picture]}, "finishReason": reason}]}
    )


def _error(code: int, status: str, told: int | None = None, retry_after: int | None = None) -> Answer:
    message = "The request cannot be served now."
    return _json({"error": {"code": code, "message": message, "status": status}}, told or code, retry_after)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _picture(mark: Mark) -> Answer:
    return _parts(_encoded(drawn(mark)))


_WITHOUT_PICTURE = {
    "hang": Answer(b"", sent=0, hangs=True),
    "nothing": Answer(b"", sent=0),
    "500": _error(500, "INTERNAL"),
    "503": _error(503, "UNAVAILABLE"),
    "503-in-200": _error(503, "UNAVAILABLE", told=200),
    "429": _error(429, "RESOURCE_EXHAUSTED", retry_after=1),
    "refuse": _json({"candidates": [{"index": 0, "finishReason": "IMAGE_SAFETY"}]}),
    "miss": _json({"candidates": [{"index": 0, "content": {"parts": [{"text": "I would rather describe it."}]}}]}),
    "base64": _parts("a%"),
    "undecodable": _parts(_encoded(b"\x89PNG\r\n\x1a\n and then nothing of the kind")),
}
_PARTLY = {"cut": False, "stall": True}
"""Half of a good answer; then the connection ends, or nothing follows."""
KINDS = (*_WITHOUT_PICTURE, *_PARTLY, "late", TWICE, SLOWLY)
"""The faults that there are."""


def _answer(fault: str | None, mark: Mark) -> Answer:
    if fault in _WITHOUT_PICTURE:
        return _WITHOUT_PICTURE[fault]
    good = _picture(mark)
    return good._replace(sent=0.5, hangs=_PARTLY[fault]) if fault in _PARTLY else good


class Provider:
    """Answers with marked pictures, and writes every call down."""

    def __init__(self, folder: Path, seed: int | str, client_limit: float, latency: tuple[float, float]) -> None:
        self._folder = folder
        self._client_limit = client_limit
        self._latency = latency
        self._random = random.Random(seed)  # noqa: S311 - a plan, no secret
        self._account = (folder / CALLS_FILE).open("a", encoding="utf-8")
        self._count = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: one call, as Darkroom's clients make them."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
            method, path, _ = head[0].split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            call = _CALL.fullmatch(path)
            if method == "POST" and call is not None:
                await self._serve(call["version"], json.loads(body), reader, writer)
            else:
                await _send(_json({"name": path}), reader, writer)
        writer.transport.abort()

    async def _serve(
        self,
        worker: str,
        body: dict[str, list[dict[str, list[dict[str, str]]]]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._count += 1
        number, fault = self._count, self._fault()
        prompt = "\n".join(part["text"] for content in body["contents"] for part in content["parts"] if "text" in part)
        mark = Mark(prompt_mark(prompt), number)
        self._note(number=number, worker=worker, mark=mark.prompt, fault=fault, at=time.time())
        how = "gone"
        try:
            late = self._client_limit + 1.5 if fault == "late" else 0
            await asyncio.sleep(late + self._random.uniform(*(SLOW if fault == SLOWLY else self._pace())))
            answer = _answer(fault, mark)
            if reader.at_eof() and not answer.hangs:
                return
            await _send(answer, reader, writer)
            how = "sent"
            if fault == TWICE:
                await _send(_answer(None, Mark(STRAY, number)), reader, writer)
        finally:
            self._note(number=number, ended=how, at=time.time())

    def _pace(self) -> tuple[float, float]:
        """Seconds, from and to."""
        try:
            low, high = json.loads((self._folder / PACE_FILE).read_text("utf-8"))
        except FileNotFoundError:
            return self._latency
        return low, high

    def _fault(self) -> str | None:
        """Which one, by the shares that hold now."""
        try:
            shares: dict[str, float] = json.loads((self._folder / FAULTS_FILE).read_text("utf-8"))
        except FileNotFoundError:
            return None
        drawn_number = self._random.random()
        for name, share in shares.items():
            drawn_number -= share
            if drawn_number < 0:
                return name
        return None

    def _note(self, **fields: object) -> None:
        self._account.write(json.dumps(fields) + "\n")
        self._account.flush()


async def _send(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(answer.body)}\r\n"
    if answer.retry_after is not None:
        head += f"Retry-After: {answer.retry_after}\r\n"
    if answer.sent:
        writer.write(f"{head}\r\n".encode() + answer.body[: round(len(answer.body) * answer.sent)])
        await writer.drain()
    if answer.hangs:
        await reader.read()  # comes back when the client hangs up
    if answer.sent < 1 and not answer.hangs:
        writer.close()  # lets what was sent arrive first
        await writer.wait_closed()


async def _serve(given: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    provider = Provider(given.folder, given.seed, given.client_limit, tuple(given.latency))
    server = await asyncio.start_server(provider.connected, HOST, given.port)
    async with server:
        await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--client-limit", type=float, required=True, help="seconds after which clients give up")
    parser.add_argument("--latency", type=float, nargs=2, default=LATENCY, help="seconds, from and to")
    asyncio.run(_serve(parser.parse_args()))
    sys.stdout.flush()
    os._exit(0)
