"""What an answer cost, by answers as providers send them."""

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, Missed
from darkroom.providers import costs
from darkroom.providers.costs import Brought
from darkroom.providers.offline import OfflineProvider
from tests.support.fakes.gemini import FakeGemini
from tests.support.fakes.over_http import GEMINI, REQUEST, RUNWARE
from tests.support.fakes.runware import FakeRunware

MODEL = "gemini-nano-banana-2.1"
ONE_PICTURE = Brought(1)

INPUT = {
    "promptTokenCount": 270,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}, {"modality": "IMAGE", "tokenCount": 258}],
}
PICTURE = {"candidatesTokenCount": 1120, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}]}
OF_INPUT = Decimal("0.000405")  # 270 tokens at $1.50 a million
OF_PICTURE = Decimal("0.0336")  # 1,120 image tokens at $30 a million
OF_THOUGHTS = Decimal("0.00225")  # 300 tokens at $7.50 a million


def gemini(usage: object, brought: Brought = ONE_PICTURE, model: str = MODEL) -> Decimal | None:
    body = {"candidates": [{}], "modelVersion": MODEL, "usageMetadata": usage}
    return costs.of_gemini(body, model, brought)


class TestGemini:
    def test_image_tokens_cost_what_pictures_cost_and_the_prompt_what_text_costs(self) -> None:
        assert gemini({**INPUT, **PICTURE, "totalTokenCount": 1390}) == OF_INPUT + OF_PICTURE

    def test_thoughts_cost_what_text_costs(self) -> None:
        usage = {**INPUT, **PICTURE, "thoughtsTokenCount": 300, "totalTokenCount": 1690}
        assert gemini(usage) == OF_INPUT + OF_PICTURE + OF_THOUGHTS

    @pytest.mark.parametrize("split", [{}, {"candidatesTokensDetails": None}, {"candidatesTokensDetails": []}])
    @pytest.mark.parametrize("thoughts", [0, 300])
    def test_without_a_split_the_output_of_a_lone_picture_is_image_tokens(
        self, split: dict[str, object], thoughts: int
    ) -> None:
        usage = {**INPUT, "candidatesTokenCount": 1120, **split, "thoughtsTokenCount": thoughts}
        assert gemini(usage) == OF_INPUT + OF_PICTURE + (OF_THOUGHTS if thoughts else 0)

    @pytest.mark.parametrize("brought", [Brought(2), Brought(1, words=True)])
    def test_without_a_split_it_is_unknown_beside_anything_else(self, brought: Brought) -> None:
        assert gemini({**INPUT, "candidatesTokenCount": 1150}, brought) is None

    def test_words_alone_cost_what_text_costs(self) -> None:
        usage = {**INPUT, "candidatesTokenCount": 100}
        assert gemini(usage, Brought(0, words=True)) == OF_INPUT + Decimal("0.00075")

    def test_a_blocked_prompt_costs_its_input(self) -> None:
        assert gemini({"promptTokenCount": 270}, Brought(0)) == OF_INPUT

    @pytest.mark.parametrize(
        "usage",
        [
            None,
            "much",
            [],
            {},
            5,
            {"promptTokenCount": -270},
            {"promptTokenCount": "270"},
            {"promptTokenCount": True},
            {"promptTokenCount": 270, "candidatesTokenCount": 10**300},
            {"promptTokenCount": 270, "candidatesTokensDetails": {"modality": 5}, "candidatesTokenCount": None},
        ],
    )
    def test_usage_of_any_shape_is_no_error(self, usage: object) -> None:
        assert gemini(usage) in (None, OF_INPUT, 0)

    def test_a_model_without_a_known_price_is_unknown(self) -> None:
        assert gemini({**INPUT, **PICTURE}, model="a-model-of-tomorrow") is None

    def test_a_model_is_found_by_its_whole_name(self) -> None:
        assert gemini({**INPUT, **PICTURE}, model=f"models/{MODEL}") == OF_INPUT + OF_PICTURE


class TestOpenAI:
    def body(self, **usage: object) -> dict[str, Any]:
        return {"created": 1, "data": [{"b64_json": ""}], "usage": {"input_tokens": 50, **usage}}

    def test_image_tokens_cost_what_pictures_cost(self) -> None:
        body = self.body(
            output_tokens=1150,
            total_tokens=1200,
            input_tokens_details={"text_tokens": 10, "image_tokens": 40},
            output_tokens_details={"image_tokens": 1120, "text_tokens": 30},
        )
        # $5 and $8 a million for text and pictures in, $10 and $32 for those out.
        expected = Decimal("0.00005") + Decimal("0.00032") + Decimal("0.0003") + Decimal("0.03584")
        assert costs.of_openai(body, "gpt-image-1.5", Brought(1, words=True)) == expected

    def test_without_a_split_the_output_of_a_lone_picture_is_image_tokens(self) -> None:
        body = self.body(output_tokens=1120, input_tokens_details={"text_tokens": 50, "image_tokens": 0})
        assert costs.of_openai(body, "gpt-image-1.5", ONE_PICTURE) == Decimal("0.00025") + Decimal("0.03584")

    def test_without_usage_it_is_unknown(self) -> None:
        assert costs.of_openai({"data": []}, "gpt-image-1.5", ONE_PICTURE) is None


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([{"cost": 0.0336}], Decimal("0.0336")),
        ([{"cost": 0.0336}, {"cost": "0.0004"}, {}], Decimal("0.034")),
        ([{"cost": 0}], Decimal(0)),
        ([{"cost": 1.5e-7}], Decimal("0.00000015")),
        ([{"cost": -1}], None),
        ([{"cost": True}], None),
        ([{"cost": "free"}], None),
        ([{"cost": float("nan")}], None),
        ([{"cost": float("inf")}], None),
        ([{"cost": 1e300}], None),
        ([{"cost": None}], None),
        ([], None),
    ],
)
def test_what_a_provider_says_is_what_it_cost(entries: list[dict[str, object]], expected: Decimal | None) -> None:
    assert costs.stated(entries) == expected


@pytest.mark.parametrize(("status", "expected"), [(401, 0), (429, 0), (500, None), (400, None), (200, None)])
def test_a_request_that_was_turned_away_costs_nothing(status: int, expected: int | None) -> None:
    assert costs.of_status(status) == expected


class TestAnswers:
    async def test_geminis_pictures_tell_their_cost(self) -> None:
        async with FakeGemini("billed") as server, GEMINI.at(server) as made:
            answer = await made.generate(REQUEST)
        assert isinstance(answer, Generated)
        assert answer.cost_usd == OF_INPUT + OF_PICTURE

    async def test_a_picture_of_gemini_without_usage_is_unknown(self) -> None:
        async with FakeGemini("png") as server, GEMINI.at(server) as made:
            assert (await made.generate(REQUEST)).cost_usd is None

    async def test_geminis_misses_tell_their_cost(self) -> None:
        async with FakeGemini("billed-text") as server, GEMINI.at(server) as made:
            answer = await made.generate(REQUEST)
        assert isinstance(answer, Missed)
        assert answer.cost_usd == OF_INPUT + Decimal("0.00075")

    @pytest.mark.parametrize("script", ["500", "429"])
    async def test_geminis_errors_cost_nothing(self, script: str) -> None:
        async with FakeGemini(script) as server, GEMINI.at(server) as made:
            with pytest.raises(ProviderUnavailable) as raised:
                await made.generate(REQUEST)
        assert raised.value.cost_usd == 0

    async def test_an_answer_that_never_comes_has_an_unknown_cost(self) -> None:
        async with FakeGemini("dropped-at-once") as server, GEMINI.at(server) as made:
            with pytest.raises(ProviderUnavailable) as raised:
                await made.generate(REQUEST)
        assert raised.value.cost_usd is None

    @pytest.mark.parametrize("script", ["png", "nsfw", "no-picture"])
    async def test_runware_says_what_it_cost_with_a_picture_and_without(self, script: str) -> None:
        async with FakeRunware(script) as server, RUNWARE.at(server) as made:
            assert (await made.generate(REQUEST)).cost_usd == Decimal("0.0336")

    async def test_the_offline_provider_asks_for_nothing(self) -> None:
        assert (await OfflineProvider().generate(REQUEST)).cost_usd == 0


def test_prices_are_never_fetched() -> None:
    program = """
import sys
sys.addaudithook(lambda event, _: event.startswith("socket.") and sys.exit(f"{event}: reaches the network"))
import threading
from genai_prices import data_snapshot
from darkroom.providers import costs
usage = {"promptTokenCount": 270, "candidatesTokenCount": 1120}
print(costs.of_gemini({"usageMetadata": usage}, "gemini-nano-banana-2.1", costs.Brought(1)))
print(data_snapshot.get_snapshot().from_auto_update, threading.active_count())
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (told.stdout.split(), told.stderr) == (["0.034005", "False", "1"], "")
