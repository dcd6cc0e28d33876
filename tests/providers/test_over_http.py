"""What holds for every provider over HTTP, through its real client, against a server that speaks its format."""

import asyncio
import hashlib
import logging
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from darkroom.domain.errors import ProviderUnavailable, SettingRejected
from darkroom.domain.images import Generated, ReferenceImage, Stopped
from darkroom.providers import ImageProvider
from tests.support.fakes.http import KEY, Answer, Request
from tests.support.fakes.over_http import GEMINI, REQUEST, RUNWARE, PlayedProvider

SHORT = timedelta(seconds=0.2)
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(params=[GEMINI, RUNWARE], ids=["gemini", "runware"])
def played(request: pytest.FixtureRequest) -> PlayedProvider[Any]:
    chosen: PlayedProvider[Any] = request.param
    return chosen


class TestRequest:
    async def test_fourteen_large_references_arrive_whole_and_in_their_order(self, played: PlayedProvider[Any]) -> None:
        large = tuple(ReferenceImage(data=bytes([n]) * 500_000, media_type="image/webp") for n in range(14))
        async with played.server() as server, played.at(server) as provider:
            answer = await provider.generate(REQUEST.model_copy(update={"references": large}))
            (call,) = server.received
        assert isinstance(answer, Generated)
        assert [ref.sha256 for ref in call.references] == [hashlib.sha256(ref.data).hexdigest() for ref in large]

    async def test_any_prompt_arrives_as_it_is(self, played: PlayedProvider[Any]) -> None:
        prompt = 'Ein Fuchs "im Schnee" 雪\n\t\\ \u2028 \U0001f98a'
        async with played.server() as server, played.at(server) as provider:
            await provider.generate(REQUEST.model_copy(update={"prompt": prompt}))
            assert server.received[0].prompt == f"{prompt}\n\nOutput the final image only."


class TestAnswer:
    async def test_bytes_that_do_not_decode_are_handed_on_for_the_caller_to_judge(
        self, played: PlayedProvider[Any]
    ) -> None:
        answer = await played.asked("undecodable")
        assert isinstance(answer, Generated)
        assert answer.data.startswith(b"\x89PNG")

    async def test_each_call_gets_its_own_picture(self, played: PlayedProvider[Any]) -> None:
        async with played.server(together=20) as server, played.at(server) as provider:
            answers = await asyncio.gather(*(provider.generate(REQUEST) for _ in range(20)))
        assert len({answer.data for answer in answers if isinstance(answer, Generated)}) == 20


class TestFault:
    @pytest.mark.parametrize("name", ["500", "502", "503", "504", "408"])
    async def test_a_server_error_is_a_passing_fault_and_is_tried_once(
        self, played: PlayedProvider[Any], name: str
    ) -> None:
        async with played.server(name, then=name) as server, played.at(server) as provider:
            with pytest.raises(ProviderUnavailable) as caught:
                await provider.generate(REQUEST)
            assert server.count == 1
        assert caught.value.retry_after is None
        assert "<" not in str(caught.value), "the page of some proxy is quoted"

    @pytest.mark.parametrize("name", ["dropped", "dropped-at-once"])
    async def test_a_dropped_connection_is_a_passing_fault(self, played: PlayedProvider[Any], name: str) -> None:
        assert "connection" in str(await played.fault(name))

    async def test_a_server_that_is_not_there_is_a_passing_fault_that_names_its_address(
        self, played: PlayedProvider[Any]
    ) -> None:
        async with played.server() as server:
            gone = server.url
        async with played.at(gone) as provider:
            with pytest.raises(ProviderUnavailable, match=gone):
                await provider.generate(REQUEST)

    async def test_a_garbled_answer_is_a_passing_fault_that_quotes_nothing_of_it(
        self, played: PlayedProvider[Any]
    ) -> None:
        problem = await played.fault("invalid-json")
        assert "could not be read" in str(problem)
        assert problem.__cause__ is None, "a cause would carry the answer into workflow history"
        assert len(str(problem)) < 100

    @pytest.mark.parametrize("name", ["held", "stalled"])
    async def test_an_answer_that_does_not_come_ends_at_the_limit_for_the_whole_call(
        self, played: PlayedProvider[Any], name: str
    ) -> None:
        problem = await played.fault(name, timeout=SHORT)
        assert "0.2 s" in str(problem)
        assert played.setting("TIMEOUT") in str(problem)

    async def test_waiting_for_a_connection_counts_as_part_of_the_call(
        self, played: PlayedProvider[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("darkroom.providers.connections.SPARE_CONNECTIONS", 0)
        async with played.server("held") as server, played.at(server, max_concurrent=1) as provider:
            # The first call keeps the only connection for as long as the test lasts.
            first = asyncio.create_task(provider.generate(REQUEST))
            await server.until(lambda: server.count == 1)
            monkeypatch.setattr(provider, "_timeout", SHORT)
            with pytest.raises(ProviderUnavailable, match=r"within 0\.2 s"):
                await provider.generate(REQUEST)
            assert (server.count, first.done()) == (1, False)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

    async def test_a_slow_answer_within_the_limit_is_waited_for(self, played: PlayedProvider[Any]) -> None:
        async with played.server(latency=0.3) as server, played.at(server) as provider:
            assert isinstance(await provider.generate(REQUEST), Generated)


class TestSettings:
    async def test_an_unknown_model_stops_and_is_named(self, played: PlayedProvider[Any]) -> None:
        model = played.model.replace("banana", "none")
        async with played.server(model=played.model) as server, played.at(server, model=model) as provider:
            answer = await provider.generate(REQUEST)
        assert isinstance(answer, Stopped)
        assert model in answer.reason
        assert played.setting("MODEL") in answer.reason

    async def test_a_wrong_key_stops_and_is_shown_nowhere(
        self, played: PlayedProvider[Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with played.server() as server, played.at(server, api_key="a-wrong-secret") as provider:
            answer = await provider.generate(REQUEST)
            shown = [repr(provider), str(answer), caplog.text]
        assert isinstance(answer, Stopped)
        assert "API key" in answer.reason
        assert played.setting("API_KEY") in answer.reason
        assert not any("a-wrong-secret" in text for text in shown)

    @pytest.mark.parametrize("name", ["dropped", "held", "invalid-json", "502"])
    async def test_no_fault_shows_the_key(
        self, played: PlayedProvider[Any], name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        problem = await played.fault(name, timeout=SHORT)
        assert KEY not in f"{problem!r} {problem.__cause__!r} {caplog.text}"

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("api_key", " "),
            ("api_key", "ké y"),
            ("api_key", "two\nlines"),
            ("model", ""),
            ("base_url", "localhost:8765"),
        ],
    )
    def test_one_that_cannot_work_is_rejected_at_the_start(
        self, played: PlayedProvider[Any], setting: str, value: str
    ) -> None:
        with pytest.raises(SettingRejected, match=played.setting(setting.upper())):
            played.made(**{setting: value})

    async def test_it_is_an_image_provider_of_its_name_and_model(self, played: PlayedProvider[Any]) -> None:
        async with played.at(NOWHERE) as provider:
            port: ImageProvider = provider
            assert (port.capabilities.name, port.model) == (played.name, played.model)


class TestConnections:
    async def test_as_many_calls_as_configured_are_under_way_at_once(self, played: PlayedProvider[Any]) -> None:
        async with played.server(together=120) as server, played.at(server, max_concurrent=120) as provider:
            answers = await asyncio.gather(*(provider.generate(REQUEST) for _ in range(120)))
        assert all(isinstance(answer, Generated) for answer in answers)
        assert server.most_under_way == 120

    async def test_calls_above_the_configured_number_wait_their_turn_without_a_fault(
        self, played: PlayedProvider[Any]
    ) -> None:
        async with played.server() as server, played.at(server, max_concurrent=2) as provider:
            answers = await asyncio.gather(*(provider.generate(REQUEST) for _ in range(60)))
        assert all(isinstance(answer, Generated) for answer in answers)
        assert server.most_under_way <= 10

    async def test_a_cancelled_call_hangs_up_at_once(self, played: PlayedProvider[Any]) -> None:
        async with played.server("held") as server, played.at(server) as provider:
            call = asyncio.create_task(provider.generate(REQUEST))
            await server.until(lambda: server.count == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await server.until(lambda: server.connections == 0)

    async def test_a_call_that_ran_out_of_time_hangs_up_too(self, played: PlayedProvider[Any]) -> None:
        async with played.server("stalled") as server, played.at(server, timeout=SHORT) as provider:
            with pytest.raises(ProviderUnavailable):
                await provider.generate(REQUEST)
            await server.until(lambda: server.connections == 0)

    async def test_a_fault_leaves_the_provider_usable(self, played: PlayedProvider[Any]) -> None:
        async with played.server("dropped", "503", "invalid-json", "png") as server, played.at(server) as provider:
            for _ in range(3):
                with pytest.raises(ProviderUnavailable):
                    await provider.generate(REQUEST)
            assert isinstance(await provider.generate(REQUEST), Generated)

    async def test_a_second_answer_on_a_connection_reaches_no_other_call(self, played: PlayedProvider[Any]) -> None:
        class Stuttering(played.server):  # type: ignore[misc,name-defined]  # the class is chosen at run time
            """Answers whatever comes on a connection with its first answer again, as a stray second one does."""

            first: ClassVar[dict[asyncio.Task[object] | None, Answer]] = {}

            async def respond(self, request: Request) -> Answer:
                answer: Answer = await super().respond(request)
                return self.first.setdefault(asyncio.current_task(), answer)

        async with Stuttering() as server, played.at(server) as provider:
            pictures = [(await provider.generate(REQUEST)).data for _ in range(3)]
            assert server.count == 3
        assert len(set(pictures)) == 3, "a call was given another order's picture"

    async def test_a_connection_ends_with_its_call(self, played: PlayedProvider[Any]) -> None:
        async with played.server("png", "429") as server, played.at(server) as provider:
            await provider.generate(REQUEST)
            await server.until(lambda: server.connections == 0)
            with pytest.raises(ProviderUnavailable):
                await provider.generate(REQUEST)
            await server.until(lambda: server.connections == 0)

    async def test_closing_lets_go_of_every_connection_and_may_be_done_twice(self, played: PlayedProvider[Any]) -> None:
        async with played.server("held") as server, played.at(server) as provider:
            call = asyncio.create_task(provider.generate(REQUEST))
            await server.until(lambda: server.count == 1)
            await provider.close()
            await server.until(lambda: server.connections == 0)
            await asyncio.gather(call, return_exceptions=True)


class TestFakeServer:
    """Other tests lean on the servers; these hold what they rely on."""

    async def test_a_prompt_can_ask_for_its_answer_and_leaves_the_script_alone(
        self, played: PlayedProvider[Any]
    ) -> None:
        async with played.server("503") as server, played.at(server) as provider:
            asking = REQUEST.model_copy(update={"prompt": "A fox {answer:401}"})
            assert isinstance(await provider.generate(asking), Stopped)
            with pytest.raises(ProviderUnavailable):
                await provider.generate(REQUEST)
            assert isinstance(await provider.generate(REQUEST), Generated)

    def test_an_unknown_answer_is_named_with_those_that_are_known(self, played: PlayedProvider[Any]) -> None:
        with pytest.raises(ValueError, match=r"'nonsense'; known: .*png"):
            played.server("nonsense")

    async def test_it_runs_as_a_process_and_plays_a_script(self, played: PlayedProvider[Any], tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("# a bad start\n401 x2\n\npng # and well\n")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"tests.support.fakes.{played.name}", "--script", str(script)),
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        try:
            assert process.stdout is not None
            first = (await process.stdout.readline()).decode()
            async with played.at(first.split()[3].rstrip(",")) as provider:
                for kind in (Stopped, Stopped, Generated):
                    assert isinstance(await provider.generate(REQUEST), kind)
        finally:
            process.terminate()
            assert await process.wait() == 0
