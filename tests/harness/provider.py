"""The provider of a run, in a process of its own: Gemini's API, faults on demand, and an account of every call.

    python -m tests.harness.provider FOLDER --port PORT --seed SEED

`faults.json` in the folder says which share of the calls fails how, from the next call on. `calls.jsonl` has a
line when a call begins and one when it has ended. The version in a call's path is the worker that made it.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.harness.marks import Mark, drawn, prompt_mark
from tests.support.fakes.gemini import ANSWERS, FAMILIES, FakeGemini, Received
from tests.support.fakes.http import NOTHING, SILENCE, Answer, dropped, json_answer, stalled

LATENCY = 0.2, 2.0
FAULTS_FILE = "faults.json"
CALLS_FILE = "calls.jsonl"
STRAY = "f00dcafe"
"""The mark of an answer that nobody asked for; no prompt has it."""


def _answer(mark: Mark) -> Answer:
    picture = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(drawn(mark)).decode()}}
    content = {"role": "model", "parts": [picture]}
    return json_answer({"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}]})


FAULTS: dict[str, Callable[[Received, Answer], Answer]] = {
    "hang": lambda call, good: SILENCE,
    "late": lambda call, good: good,
    "cut": lambda call, good: dropped(good.body),
    "stall": lambda call, good: stalled(good.body),
    "nothing": lambda call, good: NOTHING,
    "500": lambda call, good: ANSWERS["500"](call),
    "503": lambda call, good: ANSWERS["503"](call),
    "503-in-200": lambda call, good: FAMILIES["inside-200"]("503", call),
    "429": lambda call, good: ANSWERS["429-header-soon"](call),
    "base64": lambda call, good: ANSWERS["invalid-base64"](call),
    "undecodable": lambda call, good: ANSWERS["undecodable"](call),
}
"""What no picture comes of; "twice" is none of them."""

TWICE = "twice"


@dataclass
class _Open:
    number: int
    fault: str | None


class AccountingGemini(FakeGemini):
    """Answers with marked pictures, and writes every call down."""

    def __init__(self, folder: Path, port: int, seed: int, client_limit: float) -> None:
        super().__init__(port=port)
        self._folder = folder
        self._client_limit = client_limit
        self._random = random.Random(seed)
        self._open: dict[asyncio.Task[object] | None, _Open] = {}
        self._account = (folder / CALLS_FILE).open("a", encoding="utf-8")

    async def play(self, call: Received, refused: Answer | None = None) -> Answer:
        """A picture with the call's number, or the fault whose turn it is."""
        mark = Mark(prompt_mark(call.prompt), call.number)
        fault = self._fault()
        self._open[asyncio.current_task()] = _Open(call.number, fault)
        self._note(number=call.number, worker=call.version, mark=mark.prompt, fault=fault, at=time.time())
        late = self._client_limit + 1.5 if fault == "late" else 0
        await asyncio.sleep(late + self._random.uniform(*LATENCY))
        good = _answer(mark)
        return good if fault in (None, TWICE) else FAULTS[fault](call, good)

    async def deliver(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send it, maybe a second one on its heels; how that ended is noted."""
        call = self._open.pop(asyncio.current_task(), None)
        if call is None:
            return await super().deliver(answer, reader, writer)
        how = "gone"
        try:
            if reader.at_eof() and not answer.hangs:
                return False
            again = await super().deliver(answer, reader, writer)
            how = "sent"
            if call.fault == TWICE:
                stray = _answer(Mark(STRAY, call.number))
                await super().deliver(stray, reader, writer)
            return again
        finally:
            self._note(number=call.number, ended=how, at=time.time())

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


async def _serve(folder: Path, port: int, seed: int, client_limit: float) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with AccountingGemini(folder, port, seed, client_limit):
        await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--client-limit", type=float, required=True, help="seconds after which clients give up")
    given = parser.parse_args()
    asyncio.run(_serve(given.folder, given.port, given.seed, given.client_limit))
    sys.stdout.flush()
    os._exit(0)
