"""The Runware provider, through real HTTP, against a server that speaks its format."""

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from darkroom.bootstrap import open_parts
from darkroom.domain.errors import ProviderUnavailable, SettingRejected
from darkroom.domain.images import Generated, Missed, ReferenceImage, Refused, Stopped
from darkroom.providers import ImageProvider, KeyedProvider
from darkroom.providers.gemini import CAPABILITIES as GEMINI
from darkroom.providers.runware import SIZES, RunwareProvider
from darkroom.settings import Settings
from tests.support.fakes.over_http import REQUEST, RUNWARE, decoded
from tests.support.fakes.runware import FakeRunware

MODEL = RUNWARE.model
REFERENCES = (
    ReferenceImage(data=b"\xff\xd8\xff\xfe a coat", media_type="image/jpeg"),
    ReferenceImage(data=b"\x89PNG a hat", media_type="image/png"),
)


class TestRequest:
    async def test_it_is_the_one_task_that_runware_documents_byte_for_byte(self) -> None:
        async with FakeRunware() as server, RUNWARE.at(server) as made:
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
        async with FakeRunware() as server, RUNWARE.at(server) as made:
            await made.generate(REQUEST)
            assert "inputs" not in server.received[0].task

    async def test_references_are_data_addresses_in_their_order_with_their_media_types(self) -> None:
        async with FakeRunware() as server, RUNWARE.at(server) as made:
            await made.generate(REQUEST.model_copy(update={"references": REFERENCES}))
            (call,) = server.received
        assert [(ref.media_type, ref.sha256) for ref in call.references] == [
            (ref.media_type, hashlib.sha256(ref.data).hexdigest()) for ref in REFERENCES
        ]

    async def test_every_call_has_a_task_of_its_own(self) -> None:
        async with FakeRunware() as server, RUNWARE.at(server) as made:
            await asyncio.gather(*(made.generate(REQUEST) for _ in range(5)))
            tasks = {call.task["taskUUID"] for call in server.received}
        assert len(tasks) == 5
        assert {UUID(task).version for task in tasks} == {4}

    @pytest.mark.parametrize("ratio", SIZES)
    async def test_every_ratio_it_offers_has_a_size_of_that_shape(self, ratio: str) -> None:
        async with FakeRunware() as server, RUNWARE.at(server) as made:
            await made.generate(REQUEST.model_copy(update={"aspect_ratio": ratio}))
            task = server.received[0].task
        across, down = map(int, ratio.split(":"))
        assert task["width"] / task["height"] == pytest.approx(across / down, rel=0.05)
        assert task["width"] * task["height"] == pytest.approx(1376 * 768, rel=0.06)
        assert task["width"] % 16 == task["height"] % 16 == 0

    async def test_a_ratio_it_does_not_offer_is_refused_without_a_call(self) -> None:
        async with FakeRunware() as server, RUNWARE.at(server) as made:
            answer = await made.generate(REQUEST.model_copy(update={"aspect_ratio": "7:3"}))
            assert server.count == 0
        assert isinstance(answer, Refused)
        assert answer.final

    async def test_the_model_is_the_one_that_is_set(self) -> None:
        async with FakeRunware() as server, RUNWARE.at(server, model="google:4@2") as made:
            await made.generate(REQUEST)
            assert server.received[0].task["model"] == "google:4@2"

    @pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
    async def test_the_address_may_be_given_with_the_version_as_runware_gives_it(self, ending: str) -> None:
        async with FakeRunware() as server, RUNWARE.at(server.url + ending) as made:
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
        assert decoded(await RUNWARE.asked(name))[0] == kind

    @pytest.mark.parametrize("name", ["base64-in-lines", "url-safe-base64", "data-uri", "data-uri-field"])
    async def test_a_picture_is_read_however_its_base64_is_written(self, name: str) -> None:
        assert decoded(await RUNWARE.asked(name))[0] == "PNG"

    @pytest.mark.parametrize("name", ["data-and-errors", "data-and-errors-500", "nsfw-then-png"])
    async def test_a_usable_picture_counts_whatever_else_is_said(self, name: str) -> None:
        assert decoded(await RUNWARE.asked(name))[0] == "PNG"

    @pytest.mark.parametrize(
        "name",
        [
            *("empty-object", "empty-data", "empty-body", "null-data", "no-picture", "address-only", "empty-picture"),
            *("number", "broken-base64", "cut-base64", "stray-base64", "no-objects", "another-task", "another-error"),
            *("error:somethingNew@200", "null-body", "text-body", "list", "data-no-list"),
        ],
    )
    async def test_an_answer_without_a_usable_picture_of_ours_is_a_miss(self, name: str) -> None:
        async with FakeRunware(name) as server, RUNWARE.at(server) as made:
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
        answer = await RUNWARE.asked(name)
        assert isinstance(answer, Refused)
        assert not answer.final
        assert "change the prompt" in answer.reason

    @pytest.mark.parametrize(
        "name", ["error:invalidWidth/width", "error:missingPositivePrompt", "error:unsupportedParameter@200", "413"]
    )
    async def test_a_request_runware_rejects_is_refused_for_good(self, name: str) -> None:
        answer = await RUNWARE.asked(name)
        assert isinstance(answer, Refused)
        assert answer.final

    async def test_runware_s_words_code_and_parameter_are_given(self) -> None:
        answer = await RUNWARE.asked("error:invalidWidth/width")
        assert isinstance(answer, Refused)
        assert "Words about invalidWidth. (invalidWidth, width)" in answer.reason

    async def test_an_error_without_words_is_one_all_the_same(self) -> None:
        answer = await RUNWARE.asked("without-message")
        assert isinstance(answer, Refused)
        assert "no message (invalidWidth)" in answer.reason


class TestFault:
    async def test_a_time_out_behind_runware_is_a_passing_fault(self) -> None:
        assert (await RUNWARE.fault("error:timeoutProvider@200")).retry_after is None

    async def test_a_status_that_the_body_names_counts_as_the_answer_s_own(self) -> None:
        assert (await RUNWARE.fault("503-inside-200")).retry_after is None

    @pytest.mark.parametrize("name", ["429-retry", "503-retry", "429-inside-200"])
    async def test_a_wait_that_runware_names_is_kept_and_spread(self, name: str) -> None:
        async with FakeRunware(then=name) as server, RUNWARE.at(server) as made:
            waits = set()
            for _ in range(5):
                with pytest.raises(ProviderUnavailable) as caught:
                    await made.generate(REQUEST)
                waits.add(caught.value.retry_after)
        assert all(wait and 7 <= wait.total_seconds() <= 10.5 for wait in waits), waits
        assert len(waits) > 1, "calls that were refused together come back together"

    async def test_a_wait_may_be_named_as_a_date(self) -> None:
        wait = (await RUNWARE.fault("429-date")).retry_after
        assert wait is not None
        assert 40 < wait.total_seconds() < 91

    @pytest.mark.parametrize("name", ["429", "429-page", "429-nonsense"])
    async def test_a_rate_limit_without_a_wait_is_left_to_temporal(self, name: str) -> None:
        problem = await RUNWARE.fault(name)
        assert "rate limit" in str(problem)
        assert problem.retry_after is None

    @pytest.mark.parametrize("name", ["invalid-json", "not-utf-8", "deep", "text-page"])
    async def test_a_garbled_answer_is_a_passing_fault_that_quotes_nothing_of_it(self, name: str) -> None:
        problem = await RUNWARE.fault(name)
        assert "could not be read" in str(problem)
        assert problem.__cause__ is None
        assert len(str(problem)) < 100


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
        answer = await RUNWARE.asked(name)
        assert isinstance(answer, Stopped)
        assert remedy in answer.reason

    @pytest.mark.parametrize("name", ["301", "308"])
    async def test_a_redirect_is_not_followed(self, name: str) -> None:
        async with FakeRunware(name) as server, RUNWARE.at(server) as made:
            answer = await made.generate(REQUEST)
            assert server.count == 1
        assert isinstance(answer, Stopped)
        assert f"HTTP {name}" in answer.reason
        assert "RUNWARE_BASE_URL" in answer.reason

    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"model": "gemini-nano-banana-2.1"}, "RUNWARE_MODEL"),
            ({"model": "google:nano-banana@2.1 "}, "RUNWARE_MODEL"),
            ({"base_url": "https://api.runware.ai/v1?key=1"}, "RUNWARE_BASE_URL"),
        ],
    )
    def test_a_setting_that_cannot_work_is_rejected_at_the_start(self, settings: dict[str, str], named: str) -> None:
        with pytest.raises(SettingRejected, match=named):
            RUNWARE.made(**settings)


class TestParts:
    async def test_it_is_a_keyed_image_provider(self) -> None:
        async with RUNWARE.at("http://127.0.0.1:1") as made:
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
        async with FakeRunware() as server, RUNWARE.at(server) as made, httpx2.AsyncClient() as client:
            await made.generate(REQUEST)
            listed = (await client.get(f"{server.url}/requests")).text
        assert json.loads(listed)[0]["task"]["width"] == 1376
        assert server.key not in listed
