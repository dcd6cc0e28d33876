"""A provider that does what a test says, picture by picture, and remembers what it was asked."""

import asyncio
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from PIL import Image

from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.formats import ImageSize
from darkroom.domain.images import (
    Generated,
    ImageRequest,
    Missed,
    ProviderAnswer,
    QuotaSpent,
    Refused,
    Stopped,
)
from darkroom.domain.orders import Capabilities


class Act(StrEnum):
    """What the provider does with one call."""

    DRAW = "draw"
    MISS = "miss"
    GARBAGE = "garbage"
    REFUSE = "refuse"
    REFUSE_FINALLY = "refuse_finally"
    FAULT = "fault"
    STOP = "stop"
    QUOTA = "quota"


def tiny_picture(shade: int = 120) -> bytes:
    """An 8 × 8 PNG."""
    target = io.BytesIO()
    Image.new("RGB", (8, 8), (shade % 256, 80, 60)).save(target, "PNG")
    return target.getvalue()


PICTURE = tiny_picture()

Script = Mapping[tuple[int, int], Sequence[Act]]
"""For `(stage, ordinal)` what its calls meet, one after another; after the last, and for all others, DRAW."""


class ScriptedProvider:
    """Answers by its script; calls can be held at a gate, which is closed from the start with `held`."""

    capabilities = Capabilities(
        name="offline", aspect_ratios=("16:9", "1:1"), max_references=14, image_sizes=tuple(ImageSize)
    )
    model = None

    def __init__(self, script: Script | None = None, *, held: bool = False) -> None:
        self.script = dict(script or {})
        self.calls: Counter[tuple[int, int]] = Counter()
        self.quota_until = datetime.now(UTC) + timedelta(hours=3)
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()
        self.under_way = 0
        self._moved = asyncio.Condition()
        self._used: defaultdict[tuple[int, int], int] = defaultdict(int)

    @property
    def total_calls(self) -> int:
        """Calls so far."""
        return self.calls.total()

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        key = (request.stage_index, request.ordinal)
        self.calls[key] += 1
        self.under_way += 1
        async with self._moved:
            self._moved.notify_all()
        try:
            await self.gate.wait()
            acts = self.script.get(key, ())
            position = self._used[key]
            self._used[key] += 1
            return self._answer(acts[position] if position < len(acts) else Act.DRAW)
        finally:
            self.under_way -= 1
            async with self._moved:
                self._moved.notify_all()

    async def until_calls(self, number: int) -> None:
        """Wait until so many calls have begun."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.total_calls >= number)

    async def until_idle(self) -> None:
        """Wait until no call is in progress."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.under_way == 0)

    async def close(self) -> None:
        """Nothing is open."""

    def _answer(self, act: Act) -> ProviderAnswer:
        if act is Act.FAULT:
            raise ProviderUnavailable("503 from the provider")
        answers: dict[Act, ProviderAnswer] = {
            Act.DRAW: Generated(data=PICTURE),
            Act.MISS: Missed(reason="no picture in the answer"),
            Act.GARBAGE: Generated(data=b"these are no pixels"),
            Act.REFUSE: Refused(reason="against the policy"),
            Act.REFUSE_FINALLY: Refused(reason="this prompt is blocked", final=True),
            Act.STOP: Stopped(reason="the key is not valid; set GEMINI_API_KEY"),
            Act.QUOTA: QuotaSpent(reason="the daily quota is spent", until=self.quota_until),
        }
        return answers[act]


class Always(ScriptedProvider):
    """Does the same with every call, until told otherwise."""

    def __init__(self, act: Act) -> None:
        super().__init__()
        self.act = act

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        self.script[(request.stage_index, request.ordinal)] = [self.act] * 99
        return await super().generate(request)
