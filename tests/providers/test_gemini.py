"""The Gemini provider, through the real google-genai client, against a server that speaks its format."""

import asyncio
import hashlib
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.genai.errors import APIError
from PIL import Image

from darkroom.domain.errors import ProviderUnavailable, SettingRejected
from darkroom.domain.images import (
    Generated,
    ImageRequest,
    Missed,
    ProviderAnswer,
    QuotaSpent,
    ReferenceImage,
    Refused,
    Stopped,
)
from darkroom.providers import ImageProvider
from darkroom.providers.gemini import GeminiProvider
from darkroom.providers.gemini_answers import next_pacific_midnight, read_error
from tests.support.fakes.gemini import FakeGemini
from tests.support.fakes.http import KEY, read_script

MODEL = "gemini-nano-banana-2.1"
REQUEST = ImageRequest(prompt="A fox in the snow", aspect_ratio="16:9")


@pytest.fixture(autouse=True)
def no_proxy_and_no_google_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine is set up for must not reach the SDK."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def provider(
    server: FakeGemini | str,
    *,
    api_key: str = KEY,
    model: str = MODEL,
    api_version: str | None = None,
    limit: timedelta = timedelta(seconds=30),
    max_concurrent: int = 24,
) -> AsyncIterator[GeminiProvider]:
    gemini = GeminiProvider(
        api_key=api_key,
        model=model,
        base_url=server if isinstance(server, str) else server.url,
        api_version=api_version,
        timeout=limit,
        max_concurrent=max_concurrent,
    )
    try:
        yield gemini
    finally:
        await gemini.close()


async def asked(server: FakeGemini, request: ImageRequest = REQUEST) -> ProviderAnswer:
    async with server, provider(server) as gemini:
        return await gemini.generate(request)


async def fault(server: FakeGemini, limit: timedelta = timedelta(seconds=30)) -> ProviderUnavailable:
    async with server, provider(server, limit=limit) as gemini:
        with pytest.raises(ProviderUnavailable) as caught:
            await gemini.generate(REQUEST)
    return caught.value


def decoded(answer: ProviderAnswer) -> tuple[str | None, tuple[int, int]]:
    assert isinstance(answer, Generated), answer
    with Image.open(io.BytesIO(answer.data)) as picture:
        picture.load()
        return picture.format, picture.size


class TestRequest:
    async def test_it_asks_one_model_for_one_picture_in_the_wanted_shape(self) -> None:
        async with FakeGemini() as server, provider(server) as gemini:
            await gemini.generate(REQUEST)
            (call,) = server.received
        assert call.model == MODEL
        assert call.version == "v1beta"
        assert call.aspect_ratio == "16:9"
        assert call.modalities == ("IMAGE",)

    async def test_the_prompt_ends_with_the_wish_for_the_picture_alone(self) -> None:
        async with FakeGemini() as server, provider(server) as gemini:
            await gemini.generate(REQUEST)
            (call,) = server.received
        assert call.prompt == "A fox in the snow\n\nOutput the final image only."

    async def test_the_references_go_inline_in_their_order_before_the_prompt(self) -> None:
        references = (
            ReferenceImage(data=b"\xff\xd8\xff\xfe a coat", media_type="image/jpeg"),
            ReferenceImage(data=b"RIFF a hat", media_type="image/webp"),
        )
        async with FakeGemini() as server, provider(server) as gemini:
            await gemini.generate(REQUEST.model_copy(update={"references": references}))
            (call,) = server.received
        assert call.part_kinds == ("inlineData", "inlineData", "text")
        assert [(ref.media_type, ref.sha256) for ref in call.references] == [
            (ref.media_type, hashlib.sha256(ref.data).hexdigest()) for ref in references
        ]

    @pytest.mark.parametrize("version", ["v1", "v1beta"])
    async def test_the_api_version_is_the_one_that_is_set(self, version: str) -> None:
        async with FakeGemini() as server, provider(server, api_version=version) as gemini:
            await gemini.generate(REQUEST)
            assert server.received[0].version == version

    @pytest.mark.parametrize("ratio", GeminiProvider.capabilities.aspect_ratios)
    async def test_every_ratio_it_offers_is_asked_for_as_it_is(self, ratio: str) -> None:
        async with FakeGemini() as server, provider(server) as gemini:
            await gemini.generate(REQUEST.model_copy(update={"aspect_ratio": ratio}))
            assert server.received[0].aspect_ratio == ratio

    async def test_the_key_that_is_set_wins_over_those_in_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GOOGLE_API_KEY", "another")
        monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
        assert isinstance(await asked(FakeGemini(key=KEY)), Generated)

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
        assert decoded(await asked(FakeGemini(name))) == (kind, (320, 180))

    async def test_bytes_that_do_not_decode_are_handed_on_for_the_caller_to_judge(self) -> None:
        answer = await asked(FakeGemini("undecodable"))
        assert isinstance(answer, Generated)
        assert answer.data.startswith(b"\x89PNG")


class TestMiss:
    @pytest.mark.parametrize(
        "name",
        [
            *("no-candidates", "empty-candidates", "no-content", "no-parts", "empty-parts", "empty-picture"),
            *("thought-only", "text-only", "empty-body", "continuation"),
        ],
    )
    async def test_an_answer_without_a_picture_is_a_miss(self, name: str) -> None:
        async with FakeGemini(name) as server, provider(server) as gemini:
            assert isinstance(await gemini.generate(REQUEST), Missed)
            assert server.count == 1, "the SDK asked again by itself"

    @pytest.mark.parametrize(
        "reason",
        [
            *("IMAGE_SAFETY", "IMAGE_RECITATION", "RECITATION", "IMAGE_OTHER", "NO_IMAGE", "OTHER", "MAX_TOKENS"),
            *("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE"),
        ],
    )
    async def test_a_finish_reason_that_may_be_another_next_time_is_a_miss(self, reason: str) -> None:
        answer = await asked(FakeGemini(f"finish:{reason}"))
        assert isinstance(answer, Missed)
        assert reason in answer.reason

    @pytest.mark.filterwarnings("ignore:TOO_BLUE is not a valid FinishReason:UserWarning")
    async def test_a_finish_reason_google_invents_later_is_a_miss(self) -> None:
        answer = await asked(FakeGemini("finish:TOO_BLUE"))
        assert isinstance(answer, Missed)
        assert "TOO_BLUE" in answer.reason

    async def test_what_the_model_says_instead_of_drawing_is_shown(self) -> None:
        answer = await asked(FakeGemini("text-only"))
        assert isinstance(answer, Missed)
        assert "I would rather describe it." in answer.reason


class TestRefusal:
    @pytest.mark.parametrize(
        "reason", ["PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "SAFETY", "BLOCKLIST", "SPII"]
    )
    async def test_a_policy_finish_reason_is_a_refusal_that_may_pass(self, reason: str) -> None:
        answer = await asked(FakeGemini(f"finish:{reason}"))
        assert isinstance(answer, Refused)
        assert not answer.final
        assert reason in answer.reason

    @pytest.mark.parametrize("reason", ["SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"])
    async def test_a_blocked_prompt_is_refused_for_good(self, reason: str) -> None:
        answer = await asked(FakeGemini(f"blocked:{reason}"))
        assert isinstance(answer, Refused)
        assert answer.final
        assert reason in answer.reason

    @pytest.mark.parametrize("reason", ["OTHER", "BLOCKED_REASON_UNSPECIFIED"])
    async def test_a_block_without_a_stated_reason_is_not_final_and_names_prompt_and_images(self, reason: str) -> None:
        answer = await asked(FakeGemini(f"blocked:{reason}"))
        assert isinstance(answer, Refused)
        assert not answer.final
        assert "prompt" in answer.reason
        assert "images" in answer.reason

    @pytest.mark.filterwarnings("ignore:TOO_BLUE is not a valid BlockedReason:UserWarning")
    async def test_a_block_google_invents_later_is_refused_for_good(self) -> None:
        answer = await asked(FakeGemini("blocked:TOO_BLUE"))
        assert isinstance(answer, Refused)
        assert answer.final

    @pytest.mark.parametrize(("name", "words"), [("400", "Unable to process"), ("413", "payload size exceeds")])
    async def test_a_request_google_rejects_is_refused_for_good_in_its_words(self, name: str, words: str) -> None:
        answer = await asked(FakeGemini(name))
        assert isinstance(answer, Refused)
        assert answer.final
        assert words in answer.reason


class TestFault:
    @pytest.mark.parametrize("name", ["500", "502", "503", "504", "408"])
    async def test_a_server_error_is_a_passing_fault_and_is_tried_once(self, name: str) -> None:
        async with FakeGemini(name, then=name) as server, provider(server) as gemini:
            with pytest.raises(ProviderUnavailable, match=f"HTTP {name}") as caught:
                await gemini.generate(REQUEST)
            assert server.count == 1
        assert caught.value.retry_after is None

    async def test_a_wait_that_a_server_error_names_is_kept(self) -> None:
        assert (await fault(FakeGemini("503-retry"))).retry_after == timedelta(seconds=7)

    async def test_a_page_of_some_proxy_is_not_quoted(self) -> None:
        assert "<" not in str(await fault(FakeGemini("502")))

    @pytest.mark.parametrize("name", ["dropped", "dropped-at-once"])
    async def test_a_dropped_connection_is_a_passing_fault(self, name: str) -> None:
        assert "connection" in str(await fault(FakeGemini(name)))

    async def test_a_server_that_is_not_there_is_a_passing_fault_that_names_its_address(self) -> None:
        async with FakeGemini() as server:
            gone = server.url
        async with provider(gone) as gemini:
            with pytest.raises(ProviderUnavailable, match=gone):
                await gemini.generate(REQUEST)

    @pytest.mark.parametrize("name", ["invalid-json", "wrong-shape", "invalid-base64"])
    async def test_a_garbled_answer_is_a_passing_fault_that_quotes_nothing_of_it(self, name: str) -> None:
        problem = await fault(FakeGemini(name))
        assert "could not be read" in str(problem)
        assert problem.__cause__ is None, "a cause would carry the answer into workflow history"
        assert len(str(problem)) < 100

    @pytest.mark.parametrize("name", ["held", "stalled"])
    async def test_an_answer_that_does_not_come_ends_at_the_limit_for_the_whole_call(self, name: str) -> None:
        problem = await fault(FakeGemini(name), limit=timedelta(seconds=0.2))
        assert "0.2 s" in str(problem)
        assert "GEMINI_TIMEOUT" in str(problem)

    @pytest.mark.parametrize(
        "body",
        [
            *({}, [], [1, 2], "text", None, {"error": None}, {"error": "text"}, {"message": "<html>"}),
            {"error": {"message": 5, "status": 7, "details": {"reason": "none"}}},
            {"error": {"details": [None, {"violations": [None, {"quotaId": None}]}, {"retryDelay": "-3s"}]}},
            [{"error": {"message": "long " * 5000, "details": [{"retryDelay": "9" * 400 + "s"}]}}],
        ],
    )
    @pytest.mark.parametrize("status", [204, 301, 400, 404, 429, 500])
    def test_an_error_body_of_any_shape_is_read_and_kept_short(self, status: int, body: object) -> None:
        answer: ProviderAnswer | ProviderUnavailable
        try:
            answer = read_error(APIError(status, body), model=MODEL, now=datetime.now(UTC), jitter=1.0)
        except ProviderUnavailable as problem:
            answer = problem
        assert not isinstance(answer, Generated)
        assert (getattr(answer, "retry_after", None) or timedelta()) <= timedelta(days=1.5)
        assert len(answer.reason) < 600


class TestRateLimit:
    @pytest.mark.parametrize(("name", "seconds"), [("429", 15.0), ("429-retry", 23.4), ("429-retry-soon", 15.0)])
    async def test_the_wait_is_what_google_asks_but_at_least_fifteen_seconds_and_spread(
        self, name: str, seconds: float
    ) -> None:
        async with FakeGemini(then=name) as server, provider(server) as gemini:
            waits = set()
            for _ in range(5):
                with pytest.raises(ProviderUnavailable, match="rate limit") as caught:
                    await gemini.generate(REQUEST)
                waits.add(caught.value.retry_after)
        assert all(wait and 1 <= wait.total_seconds() / seconds <= 1.5 for wait in waits), waits
        assert len(waits) > 1, "calls that were refused together come back together"

    async def test_a_spent_daily_quota_is_back_at_the_next_midnight_in_california(self) -> None:
        before = next_pacific_midnight(datetime.now(UTC))
        answer = await asked(FakeGemini("429-per-day"))
        assert isinstance(answer, QuotaSpent)
        assert answer.until in (before, next_pacific_midnight(datetime.now(UTC)))
        assert answer.until.tzinfo is not None

    @pytest.mark.parametrize(
        ("now", "back"),
        [
            ("2026-01-15T07:59:59+00:00", "2026-01-15T08:00:00+00:00"),
            ("2026-01-15T08:00:00+00:00", "2026-01-16T08:00:00+00:00"),
            ("2026-07-01T12:00:00+00:00", "2026-07-02T07:00:00+00:00"),
            ("2026-03-08T12:00:00+00:00", "2026-03-09T07:00:00+00:00"),
            ("2026-11-01T12:00:00+00:00", "2026-11-02T08:00:00+00:00"),
        ],
    )
    def test_midnight_in_california_follows_daylight_saving(self, now: str, back: str) -> None:
        assert next_pacific_midnight(datetime.fromisoformat(now)) == datetime.fromisoformat(back)

    @pytest.mark.parametrize("name", ["429-limit-0", "429-free-tier"])
    async def test_a_limit_of_nothing_stops_with_the_advice_to_enable_billing(self, name: str) -> None:
        answer = await asked(FakeGemini(name))
        assert isinstance(answer, Stopped)
        assert "billing" in answer.reason
        assert "GEMINI_API_KEY" in answer.reason


class TestPermanentFault:
    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("api-key-invalid", "GEMINI_API_KEY"),
            ("401", "GEMINI_API_KEY"),
            ("403", "GEMINI_API_KEY"),
            ("404", "GEMINI_MODEL"),
            ("404-page", "GEMINI_BASE_URL"),
            ("301", "GEMINI_BASE_URL"),
            ("failed-precondition", "billing"),
            ("finish:PUP_LIMITED_DISABLED", "GEMINI_API_KEY"),
        ],
    )
    async def test_what_somebody_has_to_mend_stops_and_names_the_setting(self, name: str, remedy: str) -> None:
        answer = await asked(FakeGemini(name))
        assert isinstance(answer, Stopped)
        assert remedy in answer.reason

    async def test_a_wrong_key_stops_and_is_not_shown(self) -> None:
        async with FakeGemini() as server, provider(server, api_key="a-wrong-secret") as gemini:
            answer = await gemini.generate(REQUEST)
        assert isinstance(answer, Stopped)
        assert "API key not valid" in answer.reason
        assert "GEMINI_API_KEY" in answer.reason
        assert "a-wrong-secret" not in answer.reason

    async def test_an_unknown_model_stops_and_is_named(self) -> None:
        async with FakeGemini(model=MODEL) as server, provider(server, model="gemini-none") as gemini:
            answer = await gemini.generate(REQUEST)
        assert isinstance(answer, Stopped)
        assert "gemini-none" in answer.reason
        assert "GEMINI_MODEL" in answer.reason

    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"api_key": " "}, "GEMINI_API_KEY"),
            ({"api_key": "ké y"}, "GEMINI_API_KEY"),
            ({"model": "a/../b"}, "GEMINI_MODEL"),
            ({"model": ""}, "GEMINI_MODEL"),
            ({"base_url": "localhost:8765"}, "GEMINI_BASE_URL"),
        ],
    )
    def test_a_setting_that_cannot_work_is_rejected_at_the_start(self, settings: dict[str, str], named: str) -> None:
        given = {"api_key": KEY, "model": MODEL, "base_url": "http://127.0.0.1:1", **settings}
        with pytest.raises(SettingRejected, match=named):
            GeminiProvider(
                api_key=given["api_key"],
                model=given["model"],
                base_url=given["base_url"],
                api_version=None,
                timeout=timedelta(seconds=1),
                max_concurrent=1,
            )


class TestConnections:
    async def test_as_many_calls_as_configured_are_under_way_at_once(self) -> None:
        async with FakeGemini(together=120) as server, provider(server, max_concurrent=120) as gemini:
            answers = await asyncio.gather(*(gemini.generate(REQUEST) for _ in range(120)))
        assert all(isinstance(answer, Generated) for answer in answers)
        assert server.most_under_way == 120

    async def test_calls_above_the_configured_number_wait_their_turn_without_a_fault(self) -> None:
        async with FakeGemini() as server, provider(server, max_concurrent=2) as gemini:
            answers = await asyncio.gather(*(gemini.generate(REQUEST) for _ in range(60)))
        assert all(isinstance(answer, Generated) for answer in answers)
        assert server.most_under_way <= 10

    async def test_a_cancelled_call_hangs_up_at_once(self) -> None:
        async with FakeGemini("held") as server, provider(server) as gemini:
            call = asyncio.create_task(gemini.generate(REQUEST))
            await server.until(lambda: server.count == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await server.until(lambda: server.connections == 0)

    async def test_a_fault_leaves_the_provider_usable(self) -> None:
        async with FakeGemini("dropped", "503", "invalid-json", "png") as server, provider(server) as gemini:
            for _ in range(3):
                with pytest.raises(ProviderUnavailable):
                    await gemini.generate(REQUEST)
            assert isinstance(await gemini.generate(REQUEST), Generated)

    async def test_closing_lets_go_of_every_connection_and_may_be_done_twice(self) -> None:
        async with FakeGemini() as server, provider(server) as gemini:
            await gemini.generate(REQUEST)
            assert server.connections == 1
            await gemini.close()
            await server.until(lambda: server.connections == 0)
            with pytest.raises(ProviderUnavailable):
                await gemini.generate(REQUEST)

    async def test_it_is_an_image_provider(self) -> None:
        async with provider("http://127.0.0.1:1") as gemini:
            port: ImageProvider = gemini
            assert (port.capabilities.name, port.model) == ("gemini", MODEL)


class TestFakeServer:
    """Other tests lean on the server; these hold what they rely on."""

    async def test_a_prompt_can_ask_for_its_answer_and_leaves_the_script_alone(self) -> None:
        async with FakeGemini("text-only") as server, provider(server) as gemini:
            asking = REQUEST.model_copy(update={"prompt": "A fox {answer:blocked:SAFETY}"})
            assert isinstance(await gemini.generate(asking), Refused)
            assert isinstance(await gemini.generate(REQUEST), Missed)
            assert isinstance(await gemini.generate(REQUEST), Generated)

    def test_a_script_repeats_and_comments(self) -> None:
        assert read_script("# a bad start\n503 x2\n\npng # and well\n") == ["503", "503", "png"]

    def test_an_unknown_answer_is_named_with_those_that_are_known(self) -> None:
        with pytest.raises(ValueError, match=r"'nonsense'; known: .*png"):
            FakeGemini("nonsense")

    async def test_it_runs_as_a_process_and_plays_a_script(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        script = tmp_path_factory.mktemp("fake") / "script"
        script.write_text("finish:NO_IMAGE\n")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.fakes.gemini", "--script", str(script)),
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        try:
            assert process.stdout is not None
            first = (await process.stdout.readline()).decode()
            async with provider(first.split()[3].rstrip(",")) as gemini:
                assert isinstance(await gemini.generate(REQUEST), Missed)
                assert isinstance(await gemini.generate(REQUEST), Generated)
        finally:
            process.terminate()
            assert await process.wait() == 0
