"""The work that Darkroom, the plain loop and the bare workflow all do: same pictures, same seeded waits."""

import io
import random
from enum import StrEnum

from PIL import Image
from pydantic import Field

from darkroom.domain.formats import ImageFormat
from darkroom.domain.images import ImageRequest
from darkroom.domain.model import Value
from darkroom.providers.drawing import draw

CONCURRENCY = 25
"""Calls in flight per stage, the default of STAGE_CONCURRENCY."""

SCREEN = (1376, 768)
DRAWN = 6
GRAIN = 19


class Sample(StrEnum):
    """Which pictures the provider gives."""

    TINY = "tiny"
    """64 × 64, PNG."""
    SCREEN = "screen"
    """1376 × 768, drawn by the offline provider, JPEG."""
    HEAVY = "heavy"
    """1376 × 768 with so much grain that its PNG has 2 MB."""


class Work(Value):
    """A job: stages of the same size, and how long each call takes."""

    stages: int
    images: int = Field(description="of each stage")
    shortest: float = 0.0
    longest: float = 0.0
    misses: float = Field(default=0.0, description="share of the calls that end without a picture")
    sample: Sample = Sample.TINY
    format: ImageFormat = ImageFormat.WEBP
    """What is delivered."""

    @property
    def total(self) -> int:
        """Images of all stages."""
        return self.stages * self.images


def seconds(work: Work, stage: int, ordinal: int) -> float:
    """How long the call for an image takes; everybody who does the work waits the same."""
    if work.longest == 0:
        return 0.0
    return random.Random(f"{stage}/{ordinal}").uniform(work.shortest, work.longest)


def misses(work: Work, stage: int, ordinal: int) -> bool:
    """Whether the call for an image ends without one."""
    return work.misses > 0 and random.Random(f"miss {stage}/{ordinal}").random() < work.misses


class Pictures:
    """Prebuilt answers: drawing is the provider's work, not ours."""

    def __init__(self, sample: Sample) -> None:
        self._pictures = _BUILD[sample]()

    def fresh(self, ordinal: int) -> bytes:
        """The bytes for an ordinal, in memory of their own, as if they came over the network."""
        return bytes(memoryview(self._pictures[ordinal % len(self._pictures)]))


def _tiny() -> list[bytes]:
    return [_png(Image.new("RGB", (64, 64), (40 * n, 90, 160))) for n in range(DRAWN)]


def _screen() -> list[bytes]:
    return [
        draw(ImageRequest(prompt="benchmark", aspect_ratio="16:9", stage_index=n, ordinal=n), SCREEN, seed=0)
        for n in range(DRAWN)
    ]


def heavy() -> bytes:
    """A picture of 2 MB."""
    picture = Image.open(io.BytesIO(_screen()[0])).convert("RGB")
    plain = picture.tobytes()
    grain = random.Random(0).randbytes(len(plain))
    grainy = bytes(min(255, pixel - pixel % GRAIN + noise % GRAIN) for pixel, noise in zip(plain, grain, strict=True))
    return _png(Image.frombytes("RGB", picture.size, grainy))


def _png(picture: Image.Image) -> bytes:
    target = io.BytesIO()
    picture.save(target, "PNG")
    return target.getvalue()


def _heavy() -> list[bytes]:
    return [heavy()]


_BUILD = {Sample.TINY: _tiny, Sample.SCREEN: _screen, Sample.HEAVY: _heavy}
