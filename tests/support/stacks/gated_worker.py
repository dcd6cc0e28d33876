"""`worker.py` with a provider that tests hold in their hand, by files in DARKROOM_HOME and the environment.

GATED_SECONDS   how long a call takes (0)
GATED_BACK_OFF  every odd ordinal is refused once in passing, with this many seconds to wait
GATED_MISS      every so-many-th ordinal is answered without a picture
GATED_FILE      a file with a number: calls for this ordinal and those above it wait until the number is higher
GATED_RETRY     seconds before whatever failed is tried again, with jitter, instead of 2 doubling to 60
GATED_HANGS     who stages this ordinal or one above it hears nothing once the bytes are there (storage in files only)
"""

import asyncio
import io
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import structlog
from PIL import Image

from activities import errors
from darkroom import logs
from darkroom.bootstrap import open_parts
from darkroom.client.connection import connect
from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, ImageRequest, Missed, ProviderAnswer
from darkroom.domain.orders import Capabilities
from darkroom.settings import Settings, read_settings
from darkroom.storage.files import FileStorage
from worker import running_workers

log = structlog.get_logger("darkroom.gated_worker")


def _number(name: str) -> float:
    return float(os.environ.get(name, "0"))


class GatedProvider:
    """Waits, refuses in passing and draws as the environment says; every call is logged at both ends."""

    capabilities = Capabilities(name="offline", aspect_ratios=("16:9",), max_references=14)
    model = None

    def __init__(self, home: Path) -> None:
        self._gate = home / os.environ["GATED_FILE"] if "GATED_FILE" in os.environ else None
        self._seconds = _number("GATED_SECONDS")
        self._miss_every = int(_number("GATED_MISS"))
        self._back_off = timedelta(seconds=_number("GATED_BACK_OFF"))

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        log.info("call began", prompt=request.prompt, stage=request.stage_index, ordinal=request.ordinal)
        if self._back_off and request.ordinal % 2 and request.attempt == 1:
            raise ProviderUnavailable("429 from the provider", retry_after=self._back_off)
        if self._seconds:
            await asyncio.sleep(self._seconds)
        while self._gate is not None and request.ordinal >= int(self._gate.read_text("utf-8")):
            await asyncio.sleep(0.02)
        if self._miss_every and request.ordinal % self._miss_every == self._miss_every - 1:
            return Missed(reason="answered without a picture")
        log.info("call ended", prompt=request.prompt, stage=request.stage_index, ordinal=request.ordinal)
        return Generated(data=picture_of(request.ordinal))

    async def close(self) -> None:
        """Nothing is open."""


class HangingStorage(FileStorage):
    """Writes every object; for some staged ones the writer then hears nothing."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._hangs_from = _number("GATED_HANGS")
        self._hung: set[str] = set()

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        # Once only: whoever stages another image first puts what has not been acknowledged yet.
        hangs = key.startswith("staging/") and _ordinal(key) >= self._hangs_from and key not in self._hung
        self._hung.add(key)
        await super().put(key, data, media_type)
        if hangs:
            await asyncio.Event().wait()


def _ordinal(staged: str) -> int:
    """The ordinal in the name of a staged object, `{stage}-{ordinal}-{call}`."""
    return int(staged.rpartition("/")[2].split("-")[1])


def picture_of(shade: int) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (8, 8), (shade % 256, 80, 60)).save(target, "PNG")
    return target.getvalue()


async def serve(settings: Settings) -> None:
    """As `worker.serve`, with these parts."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await connect(settings)
    home = settings.darkroom_home
    replaced: dict[str, object] = {"providers": {"offline": GatedProvider(home)}}
    if "GATED_HANGS" in os.environ:
        replaced["storage"] = HangingStorage(home / "files")
    async with open_parts(settings, **replaced) as parts, running_workers(parts, client):
        log.info("worker started")
        await stop.wait()


if __name__ == "__main__":
    chosen = read_settings()
    if "GATED_RETRY" in os.environ:
        delay = timedelta(seconds=_number("GATED_RETRY"))
        errors.retry_delay = lambda *_: delay
    logs.configure(chosen)
    asyncio.run(serve(chosen))
    sys.stderr.flush()
    os._exit(0)  # as in worker.py
