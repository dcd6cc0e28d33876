"""The offline provider: always the same pictures, always different ones, and failures as ordered."""

import asyncio
import hashlib
import io
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageChops, ImageStat

from darkroom.domain.costs import NOTHING
from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, ImageRequest, Missed, ProviderAnswer, ReferenceImage, Refused
from darkroom.providers import offline
from darkroom.providers.drawing import draw
from darkroom.providers.offline import ASPECT_RATIOS, OfflineProvider, picture_size
from darkroom.providers.photographs import reference_photographs

SMALL = (344, 192)
CALLS = 2000


def request_for(
    ordinal: int = 0,
    *,
    stage: int = 0,
    attempt: int = 1,
    prompt: str = "a quiet lake at dawn",
    aspect_ratio: str = "16:9",
    references: tuple[bytes, ...] = (),
) -> ImageRequest:
    return ImageRequest(
        prompt=prompt,
        aspect_ratio=aspect_ratio,
        references=tuple(ReferenceImage(data=data, media_type="image/jpeg") for data in references),
        stage_index=stage,
        ordinal=ordinal,
        attempt=attempt,
    )


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def difference(one: bytes, other: bytes) -> float:
    """Mean absolute difference of the pixels, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(opened(one), opened(other))).mean) / 3


def composition(data: bytes) -> Image.Image:
    """Light and dark without hue, stretched to the full range: what is left is the composition."""
    grey = opened(data).convert("L").resize((64, 36))
    low, high = ImageStat.Stat(grey).extrema[0]
    return grey.point([round(255 * max(0, v - low) / max(1, high - low)) for v in range(256)])


@pytest.fixture(scope="module")
def photographs() -> list[bytes]:
    return reference_photographs(3)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers without drawing, for tests that look at thousands of them."""
    monkeypatch.setattr(offline, "draw", lambda request, size, seed: b"picture")


def test_the_same_request_gives_the_same_bytes_whatever_the_attempt(photographs: list[bytes]) -> None:
    first = draw(request_for(3, references=(photographs[0],)), SMALL)
    assert draw(request_for(3, references=(photographs[0],), attempt=4), SMALL) == first


def test_another_process_draws_the_same_bytes() -> None:
    code = (
        "import hashlib\n"
        "from darkroom.domain.images import ImageRequest\n"
        "from darkroom.providers.drawing import draw\n"
        "for ordinal in range(8):\n"
        "    request = ImageRequest(prompt='a quiet lake at dawn', aspect_ratio='16:9', ordinal=ordinal)\n"
        f"    print(hashlib.sha256(draw(request, {SMALL})).hexdigest())\n"
    )
    theirs = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = [hashlib.sha256(draw(request_for(ordinal), SMALL)).hexdigest() for ordinal in range(8)]
    assert theirs.stdout.split() == ours


def test_threads_do_not_disturb_one_another(photographs: list[bytes]) -> None:
    requests = [request_for(ordinal, references=tuple(photographs[: ordinal % 3])) for ordinal in range(16)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda request: draw(request, SMALL), requests))
    assert together == [draw(request, SMALL) for request in requests]


def test_ordinals_differ_in_more_than_hue() -> None:
    pictures = [draw(request_for(ordinal), SMALL) for ordinal in range(16)]
    for number, one in enumerate(pictures):
        for other in pictures[:number]:
            assert difference(one, other) > 6
            apart = ImageChops.difference(composition(one), composition(other))
            assert ImageStat.Stat(apart).mean[0] > 4


def test_stages_prompts_and_seeds_differ() -> None:
    picture = draw(request_for(), SMALL)
    assert difference(picture, draw(request_for(stage=1), SMALL)) > 12
    assert difference(picture, draw(request_for(prompt="a harbour at night"), SMALL)) > 12
    assert difference(picture, draw(request_for(), SMALL, seed=1)) > 12


def test_each_reference_is_recognisable(photographs: list[bytes]) -> None:
    """Yellow, blue and red in plenty, where the picture without references has next to none."""
    within = [((190, 255), (150, 255), (0, 90)), ((0, 80), (0, 120), (120, 255)), ((150, 255), (0, 70), (0, 70))]

    def share(data: bytes, photo: int) -> float:
        bands = opened(data).split()
        fitting = [
            band.point([255 * (low <= value <= high) for value in range(256)])
            for band, (low, high) in zip(bands, within[photo], strict=True)
        ]
        return ImageStat.Stat(ImageChops.darker(ImageChops.darker(*fitting[:2]), fitting[2])).mean[0] / 255

    for ordinal in range(8):
        plain = draw(request_for(ordinal), SMALL)
        together = draw(request_for(ordinal, references=tuple(photographs)), SMALL)
        for photo in range(3):
            alone = draw(request_for(ordinal, references=(photographs[photo],)), SMALL)
            assert share(alone, photo) > share(plain, photo) + 0.012
            assert share(together, photo) > share(plain, photo) + 0.004


def test_references_of_every_kind_are_drawn() -> None:
    kinds = [
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("PNG", "LA"),
        ("PNG", "I;16"),
        ("JPEG", "CMYK"),
        ("WEBP", "RGB"),
        ("GIF", "L"),
    ]
    references = []
    for form, mode in kinds:
        out = io.BytesIO()
        Image.new(mode, (40, 30)).save(out, form)
        references.append(out.getvalue())
    assert opened(draw(request_for(references=tuple(references)), SMALL)).size == SMALL


async def test_an_unreadable_reference_is_refused_finally_and_named(photographs: list[bytes]) -> None:
    for broken in (b"", b"no picture", photographs[1][:2000]):
        answer = await OfflineProvider(size=SMALL).generate(request_for(references=(photographs[0], broken)))
        assert isinstance(answer, Refused)
        assert answer.final
        assert "reference 2 of 2 (image/jpeg" in answer.reason


@pytest.mark.parametrize("ratio", ASPECT_RATIOS)
@pytest.mark.parametrize("size", [(1376, 768), (64, 64), (16, 9)])
async def test_every_aspect_ratio_is_drawn_as_large_as_asked(ratio: str, size: tuple[int, int]) -> None:
    answer = await OfflineProvider(size=size).generate(request_for(5, aspect_ratio=ratio))
    assert isinstance(answer, Generated)
    width, height = opened(answer.data).size
    assert (width, height) == picture_size(ratio, size)
    if ratio == "16:9":
        assert (width, height) == size
    else:
        across, down = (int(side) for side in ratio.split(":"))
        assert (width - 0.5) / (height + 0.5) <= across / down <= (width + 0.5) / (height - 0.5)
        assert abs(width * height - size[0] * size[1]) <= width + height


async def test_an_unknown_aspect_ratio_is_refused() -> None:
    answer = await OfflineProvider(size=SMALL).generate(request_for(aspect_ratio="5:7"))
    assert isinstance(answer, Refused)
    assert answer.final


async def answers(provider: OfflineProvider, attempt: int = 1) -> list[ProviderAnswer | None]:
    """What many ordinals get; None where the call faults."""

    async def ask(ordinal: int) -> ProviderAnswer | None:
        try:
            return await provider.generate(request_for(ordinal, attempt=attempt))
        except ProviderUnavailable:
            return None

    return [await ask(ordinal) for ordinal in range(CALLS)]


@pytest.mark.usefixtures("undrawn")
async def test_the_rates_are_shares_of_the_calls() -> None:
    given = await answers(OfflineProvider(miss_rate=0.2, fault_rate=0.1, refusal_rate=0.05))
    assert sum(answer is None for answer in given) / CALLS == pytest.approx(0.1, abs=0.03)
    answered = [answer for answer in given if answer is not None]
    assert sum(isinstance(a, Missed) for a in answered) / len(answered) == pytest.approx(0.2, abs=0.04)
    assert sum(isinstance(a, Refused) for a in answered) / len(answered) == pytest.approx(0.05, abs=0.02)
    assert not any(answer.final for answer in answered if isinstance(answer, Refused))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("provider", "kind"),
    [
        (OfflineProvider(miss_rate=1.0), Missed),
        (OfflineProvider(refusal_rate=1.0), Refused),
        (OfflineProvider(), Generated),
    ],
)
async def test_rates_of_all_and_none_are_exact(provider: OfflineProvider, kind: type[ProviderAnswer]) -> None:
    assert all(isinstance(answer, kind) for answer in await answers(provider))


@pytest.mark.usefixtures("undrawn")
async def test_a_fault_usually_passes_on_retry_and_a_miss_never_does() -> None:
    provider = OfflineProvider(miss_rate=0.3, fault_rate=0.3)
    first, second = await answers(provider), await answers(provider, attempt=2)
    faulted = [again for answer, again in zip(first, second, strict=True) if answer is None]
    assert sum(again is None for again in faulted) / len(faulted) == pytest.approx(0.3, abs=0.07)
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    assert all(a == b for a, b in both)


@pytest.mark.usefixtures("undrawn")
async def test_another_seed_fails_elsewhere() -> None:
    one, other = await answers(OfflineProvider(miss_rate=0.5)), await answers(OfflineProvider(miss_rate=0.5, seed=1))
    assert sum(a == b for a, b in zip(one, other, strict=True)) / CALLS == pytest.approx(0.5, abs=0.06)


@pytest.mark.usefixtures("undrawn")
async def test_latency_stays_within_its_range_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    await answers(OfflineProvider(latency=(0.5, 1.5)))
    await answers(OfflineProvider(latency=(0.5, 1.5)))
    assert all(0.5 <= wait <= 1.5 for wait in waits)
    assert min(waits) < 0.52
    assert max(waits) > 1.48
    assert waits[:CALLS] == waits[CALLS:]


async def test_drawing_leaves_the_event_loop_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawing ends only once the loop has run something else meanwhile."""
    looped = threading.Event()

    def slow(request: ImageRequest, size: tuple[int, int], seed: int) -> bytes:
        assert looped.wait(10)
        return b"picture"

    monkeypatch.setattr(offline, "draw", slow)
    asyncio.get_running_loop().call_soon(looped.set)
    assert await OfflineProvider().generate(request_for()) == Generated(data=b"picture", cost_usd=NOTHING)
