"""The Runware provider, through real HTTP, against a server that speaks its format."""

import asyncio
import hashlib
import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from PIL import Image

from darkroom.bootstrap import open_parts
from darkroom.domain.errors import ProviderUnavailable, SettingRejected
from darkroom.domain.images import Generated, ImageRequest, Missed, ProviderAnswer, ReferenceImage, Refused, Stopped
from darkroom.providers import ImageProvider, KeyedProvider, runware
from darkroom.providers.gemini import CAPABILITIES as GEMINI
from darkroom.providers.runware import SIZES, RunwareProvider
from darkroom.settings import Settings
from tests.support.fakes.http import KEY
from tests.support.fakes.runware import FakeRunware

MODEL = "google:nano-banana@2.1"
REQUEST = ImageRequest(prompt="A fox in the snow", aspect_ratio="16:9")
REFERENCES = (
    ReferenceImage(data=b"\xff\xd8\xff\xfe a coat", media_type="image/jpeg"),
    ReferenceImage(data=b"\x89PNG a hat", media_type="image/png"),
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine is set up for must not reach the client."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@asynccontextmanager
async def provider(
    server: FakeRunware | str,
    *,
    api_key: str = KEY,
    model: str = MODEL,
    limit: timedelta = timedelta(seconds=30),
    max_concurrent: int = 24,
) -> AsyncIterator[RunwareProvider]:
    made = RunwareProvider(
        api_key=api_key,
        model=model,
        base_url=server if isinstance(server, str) else server.url,
        timeout=limit,
        max_concurrent=max_concurrent,
    )
    try:
        yield made
    finally:
        await made.close()


async def asked(server: FakeRunware, request: ImageRequest = REQUEST) -> ProviderAnswer:
    async with server, provider(server) as made:
        return await made.generate(request)


async def fault(server: FakeRunware, limit: timedelta = timedelta(seconds=30)) -> ProviderUnavailable:
    async with server, provider(server, limit=limit) as made:
        with pytest.raises(ProviderUnavailable) as caught:
            await made.generate(REQUEST)
    return caught.value


def decoded(answer: ProviderAnswer) -> tuple[str | None, tuple[int, int]]:
    assert isinstance(answer, Generated), answer
    with Image.open(io.BytesIO(answer.data)) as picture:
        picture.load()
        return picture.format, picture.size


class TestRequest:
    async def test_it_is_the_one_task_that_runware_documents_byte_for_byte(self) -> None:
        async with FakeRunware() as server, provider(server) as made:
            await made.generate(REQUEST.model_copy(update={"references": REFERENCES[1:]}))
            (call,) = server.received
        assert call.body == (
            '[{"taskType": "imageInference", "taskUUID": "' + call.uuid + '", "model": "google:nano-banana@2.1", '
            '"positivePrompt": "A fox in the snow\\n\\nOutput the final image only.", '
            '"inputs": {"referenceImages": ["data:image/png;base64,iVBORyBhIGhhdA=="]}, '
            '"width": 1376, "height": 768, "numberResults": 1, "outputType": "base64Data", "outputFormat": "PNG", '
            '"includeCost": true}]'
        )
        assert call.headers["content-type"] == "application/json"

    async def test_without_references_it_has_no_inputs(self) -> None:
        async with FakeRunware() as server, provider(server) as made:
            await made.generate(REQUEST)
            assert "inputs" not in server.received[0].task

    async def test_references_are_data_addresses_in_their_order_with_their_media_types(self) -> None:
        async with FakeRunware() as server, provider(server) as made:
            await made.generate(REQUEST.model_copy(update={"references": REFERENCES}))
            (call,) = server.received
        assert [(ref.media_type, ref.sha256) for ref in call.references] == [
            (ref.media_type, hashlib.sha256(ref.data).hexdigest()) for ref in REFERENCES
        ]

    async def test_fourteen_large_references_arrive_whole(self) -> None:
        large = tuple(ReferenceImage(data=bytes([n]) * 500_000, media_type="image/webp") for n in range(14))
        async with FakeRunware() as server, provider(server) as made:
            assert isinstance(await made.generate(REQUEST.model_copy(update={"references": large})), Generated)
            (call,) = server.received
        assert [ref.sha256 for ref in call.references] == [hashlib.sha256(ref.data).hexdigest() for ref in large]

    async def test_every_call_has_a_task_of_its_own(self) -> None:
        async with FakeRunware() as server, provider(server) as made:
            await asyncio.gather(*(made.generate(REQUEST) for _ in range(5)))
            tasks = {call.task["taskUUID"] for call in server.received}
        assert len(tasks) == 5
        assert {UUID(task).version for task in tasks} == {4}

    async def test_any_prompt_arrives_as_it_is(self) -> None:
        prompt = 'Ein Fuchs "im Schnee" 雪\n\t\\ \u2028 \U0001f98a'
        async with FakeRunware() as server, provider(server) as made:
            await made.generate(REQUEST.model_copy(update={"prompt": prompt}))
            assert server.received[0].prompt == f"{prompt}\n\nOutput the final image only."

    @pytest.mark.parametrize("ratio", SIZES)
    async def test_every_ratio_it_offers_has_a_size_of_that_shape(self, ratio: str) -> None:
        async with FakeRunware() as server, provider(server) as made:
            await made.generate(REQUEST.model_copy(update={"aspect_ratio": ratio}))
            task = server.received[0].task
        across, down = map(int, ratio.split(":"))
        assert task["width"] / task["height"] == pytest.approx(across / down, rel=0.05)
        assert task["width"] * task["height"] == pytest.approx(1376 * 768, rel=0.06)
        assert task["width"] % 16 == task["height"] % 16 == 0

    async def test_a_ratio_it_does_not_offer_is_refused_without_a_call(self) -> None:
        async with FakeRunware() as server, provider(server) as made:
            answer = await made.generate(REQUEST.model_copy(update={"aspect_ratio": "7:3"}))
            assert server.count == 0
        assert isinstance(answer, Refused)
        assert answer.final

    async def test_the_model_is_the_one_that_is_set(self) -> None:
        async with FakeRunware() as server, provider(server, model="google:4@2") as made:
            await made.generate(REQUEST)
            assert server.received[0].task["model"] == "google:4@2"

    @pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
    async def test_the_address_may_be_given_with_the_version_as_runware_gives_it(self, ending: str) -> None:
        async with FakeRunware() as server, provider(server.url + ending) as made:
            assert isinstance(await made.generate(REQUEST), Generated)

    def test_it_offers_what_gemini_offers(self) -> None:
        can = RunwareProvider.capabilities
        assert (can.name, can.max_references) == ("runware", GEMINI.max_references)
        assert set(can.aspect_ratios) == set(GEMINI.aspect_ratios)


class TestPicture:
    @pytest.mark.parametrize(
        ("name", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("upper-case-task", "PNG"), ("another-first", "PNG")]
    )
    async def test_the_picture_of_our_task_is_the_answer(self, name: str, kind: str) -> None:
        assert decoded(await asked(FakeRunware(name)))[0] == kind

    @pytest.mark.parametrize("name", ["data-and-errors", "data-and-errors-500", "nsfw-then-png"])
    async def test_a_usable_picture_counts_whatever_else_is_said(self, name: str) -> None:
        assert decoded(await asked(FakeRunware(name)))[0] == "PNG"

    async def test_bytes_that_do_not_decode_are_handed_on_for_the_caller_to_judge(self) -> None:
        answer = await asked(FakeRunware("undecodable"))
        assert isinstance(answer, Generated)
        assert answer.data == b"\x89PNG\r\n\x1a\n"

    @pytest.mark.parametrize(
        "name",
        [
            *("empty-object", "empty-data", "empty-body", "null-data", "no-picture", "address-only", "empty-picture"),
            *("number", "broken-base64", "cut-base64", "stray-base64", "no-objects", "another-task", "another-error"),
            "error:somethingNew@200",
        ],
    )
    async def test_an_answer_without_a_usable_picture_of_ours_is_a_miss(self, name: str) -> None:
        async with FakeRunware(name) as server, provider(server) as made:
            assert isinstance(await made.generate(REQUEST), Missed)
            assert server.count == 1


class TestRefusal:
    @pytest.mark.parametrize(
        "name",
        [
            *("error:contentPolicyViolation", "error:promptBlocked", "error:invalidProviderContent@200"),
            *("broken-and-errors", "nsfw", "nsfw-empty"),
        ],
    )
    async def test_a_policy_refuses_and_may_pass_next_time(self, name: str) -> None:
        answer = await asked(FakeRunware(name))
        assert isinstance(answer, Refused)
        assert not answer.final
        assert "change the prompt" in answer.reason

    @pytest.mark.parametrize(
        "name", ["error:invalidWidth/width", "error:missingPositivePrompt", "error:unsupportedParameter@200", "413"]
    )
    async def test_a_request_runware_rejects_is_refused_for_good(self, name: str) -> None:
        answer = await asked(FakeRunware(name))
        assert isinstance(answer, Refused)
        assert answer.final

    async def test_runware_s_words_code_and_parameter_are_given(self) -> None:
        answer = await asked(FakeRunware("error:invalidWidth/width"))
        assert isinstance(answer, Refused)
        assert "Words about invalidWidth. (invalidWidth, width)" in answer.reason

    async def test_an_error_without_words_is_one_all_the_same(self) -> None:
        answer = await asked(FakeRunware("without-message"))
        assert isinstance(answer, Refused)
        assert "no message (invalidWidth)" in answer.reason


class TestFault:
    @pytest.mark.parametrize("name", ["500", "502", "503", "504", "408", "error:timeoutProvider@200"])
    async def test_a_server_error_is_a_passing_fault_and_is_tried_once(self, name: str) -> None:
        async with FakeRunware(name, then=name) as server, provider(server) as made:
            with pytest.raises(ProviderUnavailable) as caught:
                await made.generate(REQUEST)
            assert server.count == 1
        assert caught.value.retry_after is None
        assert "<" not in str(caught.value), "the page of some proxy is quoted"

    @pytest.mark.parametrize("name", ["429-retry", "503-retry"])
    async def test_a_wait_that_runware_names_is_kept_and_spread(self, name: str) -> None:
        async with FakeRunware(then=name) as server, provider(server) as made:
            waits = set()
            for _ in range(5):
                with pytest.raises(ProviderUnavailable) as caught:
                    await made.generate(REQUEST)
                waits.add(caught.value.retry_after)
        assert all(wait and 7 <= wait.total_seconds() <= 10.5 for wait in waits), waits
        assert len(waits) > 1, "calls that were refused together come back together"

    async def test_a_wait_may_be_named_as_a_date(self) -> None:
        wait = (await fault(FakeRunware("429-date"))).retry_after
        assert wait is not None
        assert 40 < wait.total_seconds() < 91

    @pytest.mark.parametrize("name", ["429", "429-page", "429-nonsense"])
    async def test_a_rate_limit_without_a_wait_is_left_to_temporal(self, name: str) -> None:
        problem = await fault(FakeRunware(name))
        assert "rate limit" in str(problem)
        assert problem.retry_after is None

    @pytest.mark.parametrize("name", ["dropped", "dropped-at-once"])
    async def test_a_dropped_connection_is_a_passing_fault(self, name: str) -> None:
        assert "connection" in str(await fault(FakeRunware(name)))

    async def test_a_server_that_is_not_there_is_a_passing_fault_that_names_its_address(self) -> None:
        async with FakeRunware() as server:
            gone = server.url
        async with provider(gone) as made:
            with pytest.raises(ProviderUnavailable, match=gone):
                await made.generate(REQUEST)

    @pytest.mark.parametrize("name", ["invalid-json", "not-utf-8", "deep", "text-page", "list", "data-no-list"])
    async def test_a_garbled_answer_is_a_passing_fault_that_quotes_nothing_of_it(self, name: str) -> None:
        problem = await fault(FakeRunware(name))
        assert "could not be read" in str(problem)
        assert problem.__cause__ is None
        assert len(str(problem)) < 100

    @pytest.mark.parametrize("name", ["held", "stalled"])
    async def test_an_answer_that_does_not_come_ends_at_the_limit_for_the_whole_call(self, name: str) -> None:
        problem = await fault(FakeRunware(name), limit=timedelta(seconds=0.2))
        assert "0.2 s" in str(problem)
        assert "RUNWARE_TIMEOUT" in str(problem)
        assert problem.__cause__ is None
        assert problem.__suppress_context__

    async def test_waiting_for_a_connection_counts_as_part_of_the_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("darkroom.providers.connections.SPARE_CONNECTIONS", 0)
        async with FakeRunware("held") as server, provider(server, max_concurrent=1) as made:
            # The first call keeps the only connection for as long as the test lasts.
            first = asyncio.create_task(made.generate(REQUEST))
            await server.until(lambda: server.count == 1)
            monkeypatch.setattr(made, "_timeout", timedelta(seconds=0.2))
            with pytest.raises(ProviderUnavailable, match=r"within 0\.2 s"):
                await made.generate(REQUEST)
            assert (server.count, first.done()) == (1, False)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

    async def test_a_slow_answer_within_the_limit_is_waited_for(self) -> None:
        assert isinstance(await asked(FakeRunware(latency=0.3)), Generated)


class TestPermanentFault:
    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            *(("error:invalidApiKey@401", "RUNWARE_API_KEY"), ("error:missingApiKey@401", "RUNWARE_API_KEY")),
            *(("401", "RUNWARE_API_KEY"), ("403", "RUNWARE_API_KEY"), ("old-error", "RUNWARE_API_KEY")),
            *(("402", "add credits to the account of RUNWARE_API_KEY"), ("402-page", "RUNWARE_API_KEY")),
            *(("error:insufficientCredits@200", "add credits"), ("error:accountSuspended@403", "RUNWARE_API_KEY")),
            *(("error:invalidModel/model", "RUNWARE_MODEL"), ("error:invalidAIR/model", "RUNWARE_MODEL")),
            *(("404", "RUNWARE_BASE_URL"), ("405", "RUNWARE_BASE_URL")),
        ],
    )
    async def test_what_somebody_has_to_mend_stops_and_names_the_setting(self, name: str, remedy: str) -> None:
        answer = await asked(FakeRunware(name))
        assert isinstance(answer, Stopped)
        assert remedy in answer.reason

    @pytest.mark.parametrize("name", ["301", "308"])
    async def test_a_redirect_is_not_followed(self, name: str) -> None:
        async with FakeRunware(name) as server, provider(server) as made:
            answer = await made.generate(REQUEST)
            assert server.count == 1
        assert isinstance(answer, Stopped)
        assert f"HTTP {name}" in answer.reason
        assert "RUNWARE_BASE_URL" in answer.reason

    async def test_an_unknown_model_stops_and_is_named(self) -> None:
        async with FakeRunware(model=MODEL) as server, provider(server, model="google:none@1") as made:
            answer = await made.generate(REQUEST)
        assert isinstance(answer, Stopped)
        assert "google:none@1" in answer.reason
        assert "RUNWARE_MODEL" in answer.reason

    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"api_key": " "}, "RUNWARE_API_KEY"),
            ({"api_key": "ké y"}, "RUNWARE_API_KEY"),
            ({"api_key": "two\nlines"}, "RUNWARE_API_KEY"),
            ({"model": "gemini-nano-banana-2.1"}, "RUNWARE_MODEL"),
            ({"model": ""}, "RUNWARE_MODEL"),
            ({"model": "google:nano-banana@2.1 "}, "RUNWARE_MODEL"),
            ({"base_url": "localhost:8765"}, "RUNWARE_BASE_URL"),
            ({"base_url": "https://api.runware.ai/v1?key=1"}, "RUNWARE_BASE_URL"),
        ],
    )
    def test_a_setting_that_cannot_work_is_rejected_at_the_start(self, settings: dict[str, str], named: str) -> None:
        given = {"api_key": KEY, "model": MODEL, "base_url": "http://127.0.0.1:1", **settings}
        with pytest.raises(SettingRejected, match=named):
            RunwareProvider(**given, timeout=timedelta(seconds=1), max_concurrent=1)


class TestKey:
    async def test_it_goes_as_a_bearer_token_in_the_header_alone(self) -> None:
        async with FakeRunware(key="a-secret") as server, provider(server, api_key=" a-secret\n") as made:
            assert isinstance(await made.generate(REQUEST), Generated)
            assert "a-secret" not in server.received[0].body

    async def test_a_wrong_one_is_shown_nowhere(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        async with FakeRunware() as server, provider(server, api_key="a-wrong-secret") as made:
            answer = await made.generate(REQUEST)
            told = await made.check()
            shown = [repr(made), str(answer), str(told), repr(made._asked()), caplog.text]
        assert isinstance(answer, Stopped)
        assert "Invalid API key" in answer.reason
        assert not any("a-wrong-secret" in text for text in shown)

    async def test_one_that_runware_repeats_is_taken_out(self) -> None:
        answer = await asked(FakeRunware("with-the-key"))
        assert isinstance(answer, Stopped)
        assert "The key … is not known, …!" in answer.reason
        assert KEY not in str(answer)

    @pytest.mark.parametrize("name", ["dropped", "held", "invalid-json", "502"])
    async def test_no_fault_shows_it(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        problem = await fault(FakeRunware(name), limit=timedelta(seconds=0.2))
        assert KEY not in f"{problem!r} {problem.__cause__!r} {caplog.text}"


class TestConnections:
    async def test_as_many_calls_as_configured_are_under_way_at_once(self) -> None:
        async with FakeRunware(together=120) as server, provider(server, max_concurrent=120) as made:
            answers = await asyncio.gather(*(made.generate(REQUEST) for _ in range(120)))
        assert all(isinstance(answer, Generated) for answer in answers)
        assert server.most_under_way == 120

    async def test_each_call_gets_its_own_picture(self) -> None:
        async with FakeRunware(together=20) as server, provider(server) as made:
            answers = await asyncio.gather(*(made.generate(REQUEST) for _ in range(20)))
        assert len({answer.data for answer in answers if isinstance(answer, Generated)}) == 20

    async def test_calls_above_the_configured_number_wait_their_turn_without_a_fault(self) -> None:
        async with FakeRunware() as server, provider(server, max_concurrent=2) as made:
            answers = await asyncio.gather(*(made.generate(REQUEST) for _ in range(60)))
        assert all(isinstance(answer, Generated) for answer in answers)
        assert server.most_under_way <= 10

    async def test_a_cancelled_call_hangs_up_at_once(self) -> None:
        async with FakeRunware("held") as server, provider(server) as made:
            call = asyncio.create_task(made.generate(REQUEST))
            await server.until(lambda: server.count == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await server.until(lambda: server.connections == 0)

    async def test_a_call_that_ran_out_of_time_hangs_up_too(self) -> None:
        async with FakeRunware("stalled") as server, provider(server, limit=timedelta(seconds=0.2)) as made:
            with pytest.raises(ProviderUnavailable):
                await made.generate(REQUEST)
            await server.until(lambda: server.connections == 0)

    async def test_a_fault_leaves_the_provider_usable(self) -> None:
        async with FakeRunware("dropped", "503", "invalid-json", "png") as server, provider(server) as made:
            for _ in range(3):
                with pytest.raises(ProviderUnavailable):
                    await made.generate(REQUEST)
            assert isinstance(await made.generate(REQUEST), Generated)

    async def test_connections_are_used_again(self) -> None:
        async with FakeRunware("png", "429", "nsfw", "png") as server, provider(server) as made:
            await made.generate(REQUEST)
            with pytest.raises(ProviderUnavailable):
                await made.generate(REQUEST)
            await made.generate(REQUEST)
            await made.generate(REQUEST)
            assert server.connections == 1

    async def test_closing_lets_go_of_every_connection_and_may_be_done_twice(self) -> None:
        async with FakeRunware() as server, provider(server) as made:
            await made.generate(REQUEST)
            assert server.connections == 1
            await made.close()
            await server.until(lambda: server.connections == 0)


class TestCheck:
    async def test_a_key_that_is_right_has_nothing_wrong_and_nothing_is_drawn(self) -> None:
        async with FakeRunware() as server, provider(server) as made:
            assert await made.check() is None
            assert server.count == 0

    @pytest.mark.parametrize("balance", [0, -1.5])
    async def test_an_account_without_credits_is_named(self, balance: float) -> None:
        async with FakeRunware() as server, provider(server) as made:
            server.balance = balance
            told = await made.check()
        assert told is not None
        assert f"balance {balance:g}" in told
        assert told.endswith("; add credits to the account of RUNWARE_API_KEY, or set the key of another")

    async def test_a_wrong_key_is_named_with_the_setting(self) -> None:
        async with FakeRunware() as server, provider(server, api_key="another") as made:
            told = await made.check()
        assert told is not None
        assert told.endswith("; set RUNWARE_API_KEY to a valid key")

    async def test_a_wrong_address_is_named_with_the_setting(self) -> None:
        async with FakeRunware() as server, provider(f"{server.url}/elsewhere") as made:
            told = await made.check()
        assert told is not None
        assert "RUNWARE_BASE_URL" in told

    @pytest.mark.parametrize(
        "name", ["500", "502", "429", "empty-data", "another-task", "text-page", "error:invalidOperation", "dropped"]
    )
    async def test_an_answer_that_does_not_tell_is_a_passing_fault(self, name: str) -> None:
        async with FakeRunware() as server, provider(server) as made:
            server.account = name
            with pytest.raises(ProviderUnavailable):
                await made.check()

    async def test_a_server_that_says_nothing_is_not_waited_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runware, "CHECK_TIMEOUT", timedelta(seconds=0.2))
        async with FakeRunware() as server, provider(server) as made:
            server.account = "held"
            with pytest.raises(ProviderUnavailable, match=r"0\.2 s"):
                await made.check()


class TestParts:
    async def test_it_is_a_keyed_image_provider(self) -> None:
        async with provider("http://127.0.0.1:1") as made:
            port: ImageProvider = made
            assert isinstance(port, KeyedProvider)
            assert port.model == MODEL

    async def test_a_key_puts_it_among_the_providers_and_makes_it_the_one_that_draws(self, tmp_path: Path) -> None:
        async with FakeRunware() as server:
            settings = Settings(
                _env_file=None, darkroom_home=tmp_path, runware_api_key=server.key, runware_base_url=server.url
            )
            async with open_parts(settings) as parts:
                assert settings.provider == "runware"
                assert set(parts.providers) == {"offline", "runware"}
                assert isinstance(await parts.providers["runware"].generate(REQUEST), Generated)
                assert server.received[0].task["model"] == settings.runware_model

    def test_it_does_without_gemini_s_package(self) -> None:
        code = "import sys, darkroom.providers.runware; sys.exit(any(m.startswith('google') for m in sys.modules))"
        assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


class TestFakeServer:
    """Other tests lean on the server; these hold what they rely on."""

    async def test_a_request_that_is_no_array_of_one_task_is_rejected(self) -> None:
        async with FakeRunware() as server, httpx2.AsyncClient() as client:
            bodies: list[object] = [{}, [], [{"taskType": "imageInference"}], [{}, {}]]
            for body in bodies:
                response = await client.post(
                    f"{server.url}/v1", json=body, headers={"Authorization": f"Bearer {server.key}"}
                )
                assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "invalidJSON")
            assert (await client.post(f"{server.url}/v1", json=[])).status_code == 401

    async def test_it_lists_the_calls_that_came_without_the_key(self) -> None:
        async with FakeRunware() as server, provider(server) as made, httpx2.AsyncClient() as client:
            await made.generate(REQUEST)
            listed = (await client.get(f"{server.url}/requests")).text
        assert json.loads(listed)[0]["task"]["width"] == 1376
        assert server.key not in listed

    async def test_it_runs_as_a_process_and_plays_a_script(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        script = tmp_path_factory.mktemp("fake") / "script"
        script.write_text("no-picture\n")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.fakes.runware", "--script", str(script)),
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        try:
            assert process.stdout is not None
            first = (await process.stdout.readline()).decode()
            async with provider(first.split()[3].rstrip(",")) as made:
                assert isinstance(await made.generate(REQUEST), Missed)
                assert isinstance(await made.generate(REQUEST), Generated)
        finally:
            process.terminate()
            assert await process.wait() == 0
