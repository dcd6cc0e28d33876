"""The Gemini provider, through the real google-genai client, against a server that speaks its format."""

import hashlib
from importlib.util import find_spec

import pytest

from darkroom.domain.formats import ImageSize
from darkroom.domain.images import (
    Generated,
    Missed,
    ReferenceImage,
    Refused,
)
from darkroom.providers.gemini import GeminiProvider
from tests.support.fakes.as_process import read_script
from tests.support.fakes.gemini import FakeGemini
from tests.support.fakes.over_http import GEMINI, REQUEST, decoded

MODEL = GEMINI.model


async def test_the_sdk_keeps_our_http_client_though_aiohttp_is_installed() -> None:
    """`download --to s3://…` brings aiohttp, which the SDK prefers where it may, and whose errors are others."""
    assert find_spec("aiohttp") is not None
    async with FakeGemini() as server, GEMINI.at(server) as made:
        assert isinstance(made, GeminiProvider)
        client = made._client.aio._api_client
        assert (client._use_aiohttp(), client._async_httpx_client is made._http) == (False, True)
        assert isinstance(await made.generate(REQUEST), Generated)
        assert client._aiohttp_sessions == {}


class TestRequest:
    async def test_it_asks_one_model_for_one_picture_in_the_wanted_shape(self) -> None:
        async with FakeGemini() as server, GEMINI.at(server) as made:
            await made.generate(REQUEST)
            (call,) = server.received
        assert call.model == MODEL
        assert call.version == "v1beta"
        assert call.aspect_ratio == "16:9"
        assert call.modalities == ("IMAGE",)

    async def test_the_prompt_ends_with_the_wish_for_the_picture_alone(self) -> None:
        async with FakeGemini() as server, GEMINI.at(server) as made:
            await made.generate(REQUEST)
            (call,) = server.received
        assert call.prompt == "A fox in the snow\n\nOutput the final image only."

    async def test_the_references_go_inline_in_their_order_before_the_prompt(self) -> None:
        references = (
            ReferenceImage(data=b"\xff\xd8\xff\xfe a coat", media_type="image/jpeg"),
            ReferenceImage(data=b"RIFF a hat", media_type="image/webp"),
        )
        async with FakeGemini() as server, GEMINI.at(server) as made:
            await made.generate(REQUEST.model_copy(update={"references": references}))
            (call,) = server.received
        assert call.part_kinds == ("inlineData", "inlineData", "text")
        assert [(ref.media_type, ref.sha256) for ref in call.references] == [
            (ref.media_type, hashlib.sha256(ref.data).hexdigest()) for ref in references
        ]

    @pytest.mark.parametrize("version", ["v1", "v1beta"])
    async def test_the_api_version_is_the_one_that_is_set(self, version: str) -> None:
        async with FakeGemini() as server, GEMINI.at(server, api_version=version) as made:
            await made.generate(REQUEST)
            assert server.received[0].version == version

    @pytest.mark.parametrize("ratio", GeminiProvider.capabilities.aspect_ratios)
    async def test_every_ratio_it_offers_is_asked_for_as_it_is(self, ratio: str) -> None:
        async with FakeGemini() as server, GEMINI.at(server) as made:
            await made.generate(REQUEST.model_copy(update={"aspect_ratio": ratio}))
            assert server.received[0].aspect_ratio == ratio

    @pytest.mark.parametrize("size", ImageSize)
    async def test_every_size_is_asked_for_by_its_name(self, size: ImageSize) -> None:
        async with FakeGemini() as server, GEMINI.at(server) as made:
            await made.generate(REQUEST.model_copy(update={"image_size": size}))
            assert server.received[0].image_size == size

    async def test_the_key_that_is_set_wins_over_those_in_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GOOGLE_API_KEY", "another")
        monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
        assert isinstance(await GEMINI.asked(), Generated)

    def test_it_offers_fourteen_ratios_and_fourteen_references(self) -> None:
        can = GeminiProvider.capabilities
        assert (can.name, can.max_references) == ("gemini", 14)
        assert len(set(can.aspect_ratios)) == 14
        assert {"16:9", "1:1", "21:9", "8:1"} <= set(can.aspect_ratios)


class TestPicture:
    @pytest.mark.parametrize(
        ("name", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("thought-first", "PNG"), ("two-pictures", "PNG")]
    )
    async def test_the_last_picture_that_is_no_thought_is_the_answer(self, name: str, kind: str) -> None:
        assert decoded(await GEMINI.asked(name)) == (kind, (320, 180))

    @pytest.mark.parametrize(
        "name", ["base64-in-lines", "url-safe-base64", "data-uri", "data-uri-in-lines", "unknown-keys"]
    )
    async def test_a_picture_is_read_however_its_base64_is_written(self, name: str) -> None:
        assert decoded(await GEMINI.asked(name)) == ("PNG", (320, 180))


class TestMiss:
    @pytest.mark.parametrize(
        "name",
        [
            *("no-candidates", "empty-candidates", "no-content", "no-parts", "empty-parts", "empty-picture"),
            *("thought-only", "text-only", "empty-body", "continuation"),
            *("null-body", "null-candidates", "null-candidate", "null-content", "null-parts", "null-part"),
            *("null-picture", "null-inline", "null-reason"),
            *("list-body", "empty-list", "text-body", "number-body", "candidates-text", "error-text", "wrong-shape"),
            *("invalid-base64", "cut-base64", "number-base64"),
        ],
    )
    async def test_an_answer_without_a_picture_is_a_miss(self, name: str) -> None:
        async with FakeGemini(name) as server, GEMINI.at(server) as made:
            assert isinstance(await made.generate(REQUEST), Missed)
            assert server.count == 1, "the SDK asked again by itself"

    @pytest.mark.parametrize(
        "reason",
        [
            *("IMAGE_SAFETY", "IMAGE_RECITATION", "RECITATION", "IMAGE_OTHER", "NO_IMAGE", "OTHER", "MAX_TOKENS"),
            *("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE"),
        ],
    )
    async def test_a_finish_reason_that_may_be_another_next_time_is_a_miss(self, reason: str) -> None:
        answer = await GEMINI.asked(f"finish:{reason}")
        assert isinstance(answer, Missed)
        assert reason in answer.reason

    @pytest.mark.filterwarnings("ignore:TOO_BLUE is not a valid FinishReason:UserWarning")
    async def test_a_finish_reason_google_invents_later_is_a_miss(self) -> None:
        answer = await GEMINI.asked("finish:TOO_BLUE")
        assert isinstance(answer, Missed)
        assert "TOO_BLUE" in answer.reason

    async def test_what_the_model_says_instead_of_drawing_is_shown(self) -> None:
        answer = await GEMINI.asked("text-only")
        assert isinstance(answer, Missed)
        assert "I would rather describe it." in answer.reason


class TestRefusal:
    @pytest.mark.parametrize(
        "reason", ["PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "SAFETY", "BLOCKLIST", "SPII"]
    )
    async def test_a_policy_finish_reason_is_a_refusal_that_may_pass(self, reason: str) -> None:
        answer = await GEMINI.asked(f"finish:{reason}")
        assert isinstance(answer, Refused)
        assert not answer.final
        assert reason in answer.reason

    @pytest.mark.parametrize("reason", ["SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"])
    async def test_a_blocked_prompt_is_refused_for_good(self, reason: str) -> None:
        answer = await GEMINI.asked(f"blocked:{reason}")
        assert isinstance(answer, Refused)
        assert answer.final
        assert reason in answer.reason

    @pytest.mark.parametrize("reason", ["OTHER", "BLOCKED_REASON_UNSPECIFIED"])
    async def test_a_block_without_a_stated_reason_is_not_final_and_names_prompt_and_images(self, reason: str) -> None:
        answer = await GEMINI.asked(f"blocked:{reason}")
        assert isinstance(answer, Refused)
        assert not answer.final
        assert "prompt" in answer.reason
        assert "images" in answer.reason

    @pytest.mark.filterwarnings("ignore:TOO_BLUE is not a valid BlockedReason:UserWarning")
    async def test_a_block_google_invents_later_is_refused_for_good(self) -> None:
        answer = await GEMINI.asked("blocked:TOO_BLUE")
        assert isinstance(answer, Refused)
        assert answer.final

    @pytest.mark.parametrize(("name", "words"), [("400", "Unable to process"), ("413", "payload size exceeds")])
    async def test_a_request_google_rejects_is_refused_for_good_in_its_words(self, name: str, words: str) -> None:
        answer = await GEMINI.asked(name)
        assert isinstance(answer, Refused)
        assert answer.final
        assert words in answer.reason


class TestFakeServer:
    """Other tests lean on the server; these hold what they rely on."""

    def test_a_script_repeats_and_comments(self) -> None:
        assert read_script("# a bad start\n503 x2\n\npng # and well\n") == ["503", "503", "png"]
