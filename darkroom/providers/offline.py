"""The provider without a network: deterministic pictures, and failures on request."""

import asyncio
import hashlib

from darkroom.domain.costs import NOTHING
from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.formats import ImageSize
from darkroom.domain.images import Generated, ImageRequest, Missed, ProviderAnswer, Refused
from darkroom.domain.orders import Capabilities
from darkroom.providers.drawing import UnreadableReferenceError, draw

ASPECT_RATIOS = (
    "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9", "1:4", "4:1", "1:8", "8:1",
)  # fmt: skip


CAPABILITIES = Capabilities(
    name="offline", aspect_ratios=ASPECT_RATIOS, max_references=14, image_sizes=tuple(ImageSize)
)


class OfflineProvider:
    """Draws calm landscapes out of the prompt's hash, as slowly and as unreliably as configured.

    Args:
        latency: the shortest and the longest wait of a call, in seconds.
        miss_rate: share of ordinals (0 to 1) that are answered without a picture, at every attempt.
        fault_rate: share of calls (0 to 1) that fail transiently; the next attempt draws again.
        refusal_rate: share of ordinals (0 to 1) that are refused, not finally, at every attempt.
        seed: another seed gives other pictures and other failures.
        size: width and height in pixels of a 16:9 picture; other ratios cover the same area.
    """

    capabilities: Capabilities = CAPABILITIES
    model = None

    def __init__(
        self,
        *,
        latency: tuple[float, float] = (0.0, 0.0),
        miss_rate: float = 0.0,
        fault_rate: float = 0.0,
        refusal_rate: float = 0.0,
        seed: int = 0,
        size: tuple[int, int] = (1376, 768),
    ) -> None:
        self._latency = latency
        self._miss_rate = miss_rate
        self._fault_rate = fault_rate
        self._refusal_rate = refusal_rate
        self._seed = seed
        self._size = size

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        """Wait, then fail, miss, refuse or draw as the request's hash says.

        Raises:
            ProviderUnavailable: for the share of calls given by `fault_rate`.
        """
        shortest, longest = self._latency
        if longest > 0:
            await asyncio.sleep(shortest + (longest - shortest) * self._chance("latency", request, each_try=True))
        if self._chance("fault", request, each_try=True) < self._fault_rate:
            raise ProviderUnavailable(
                f"the offline provider simulated a fault (attempt {request.attempt})", cost_usd=NOTHING
            )
        failure = self._failure(request)
        answer = failure if failure is not None else await asyncio.to_thread(self._draw, request)
        return answer.model_copy(update={"cost_usd": NOTHING})

    async def close(self) -> None:
        """Nothing is held open."""

    def _failure(self, request: ImageRequest) -> Missed | Refused | None:
        # One number for both, so that the two shares add up and never overlap.
        luck = self._chance("answer", request, each_try=False)
        if luck < self._refusal_rate:
            return Refused(reason="the offline provider simulated a refusal of this prompt")
        if luck < self._refusal_rate + self._miss_rate:
            return Missed(reason="the offline provider simulated a response without a picture")
        return None

    def _draw(self, request: ImageRequest) -> ProviderAnswer:
        if request.aspect_ratio not in ASPECT_RATIOS:
            return Refused(reason=f"offline does not support the aspect ratio '{request.aspect_ratio}'", final=True)
        try:
            factor = request.image_size.factor
            size = self._size[0] * factor, self._size[1] * factor
            return Generated(data=draw(request, picture_size(request.aspect_ratio, size), self._seed))
        except UnreadableReferenceError as unreadable:
            return Refused(reason=str(unreadable), final=True)

    def _chance(self, what: str, request: ImageRequest, *, each_try: bool) -> float:
        """A number in [0, 1) that the same call always draws, in every process.

        Without `each_try` all attempts at an ordinal share it.
        """
        attempt = request.attempt if each_try else 0
        key = f"{self._seed}/{what}/{request.stage_index}/{request.ordinal}/{attempt}/{request.prompt}"
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return (int.from_bytes(digest) >> 11) / 2**53


def picture_size(aspect_ratio: str, size: tuple[int, int]) -> tuple[int, int]:
    """Pixels of a picture of this ratio that covers the area of `size`, which 16:9 has exactly."""
    if aspect_ratio == "16:9":
        return size
    across, down = (int(side) for side in aspect_ratio.split(":"))
    area = size[0] * size[1]
    return max(1, round((area * across / down) ** 0.5)), max(1, round((area * down / across) ** 0.5))
