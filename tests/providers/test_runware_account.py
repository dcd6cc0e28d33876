"""Runware's key and account: what `check` tells of them, and that the key is shown nowhere."""

import logging
from datetime import timedelta

import pytest

from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, Stopped
from darkroom.providers import runware
from tests.support.fakes.http import KEY
from tests.support.fakes.over_http import REQUEST, RUNWARE
from tests.support.fakes.runware import FakeRunware


class TestKey:
    async def test_it_goes_as_a_bearer_token_in_the_header_alone(self) -> None:
        async with FakeRunware(key="a-secret") as server, RUNWARE.at(server, api_key=" a-secret\n") as made:
            assert isinstance(await made.generate(REQUEST), Generated)
            assert "a-secret" not in server.received[0].body

    async def test_a_wrong_one_is_shown_nowhere(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        async with FakeRunware() as server, RUNWARE.at(server, api_key="a-wrong-secret") as made:
            answer = await made.generate(REQUEST)
            told = await made.check()
            shown = [repr(made), str(answer), str(told), repr(made._asked()), caplog.text]
        assert isinstance(answer, Stopped)
        assert "Invalid API key" in answer.reason
        assert not any("a-wrong-secret" in text for text in shown)

    async def test_one_that_runware_repeats_is_taken_out(self) -> None:
        answer = await RUNWARE.asked("with-the-key")
        assert isinstance(answer, Stopped)
        assert "The key … is not known, …!" in answer.reason
        assert KEY not in str(answer)


class TestCheck:
    async def test_a_key_that_is_right_has_nothing_wrong_and_nothing_is_drawn(self) -> None:
        async with FakeRunware() as server, RUNWARE.at(server) as made:
            assert await made.check() is None
            assert server.count == 0

    @pytest.mark.parametrize("balance", [0, -1.5])
    async def test_an_account_without_credits_is_named(self, balance: float) -> None:
        async with FakeRunware() as server, RUNWARE.at(server) as made:
            server.balance = balance
            told = await made.check()
        assert told is not None
        assert f"balance {balance:g}" in told
        assert told.endswith("; add credits to the account of RUNWARE_API_KEY, or set the key of another")

    async def test_a_wrong_key_is_named_with_the_setting(self) -> None:
        async with FakeRunware() as server, RUNWARE.at(server, api_key="another") as made:
            told = await made.check()
        assert told is not None
        assert told.endswith("; set RUNWARE_API_KEY to a valid key")

    async def test_a_wrong_address_is_named_with_the_setting(self) -> None:
        async with FakeRunware() as server, RUNWARE.at(f"{server.url}/elsewhere") as made:
            told = await made.check()
        assert told is not None
        assert "RUNWARE_BASE_URL" in told

    @pytest.mark.parametrize(
        "name", ["500", "502", "429", "empty-data", "another-task", "text-page", "error:invalidOperation", "dropped"]
    )
    async def test_an_answer_that_does_not_tell_is_a_passing_fault(self, name: str) -> None:
        async with FakeRunware() as server, RUNWARE.at(server) as made:
            server.account = name
            with pytest.raises(ProviderUnavailable):
                await made.check()

    async def test_a_server_that_says_nothing_is_not_waited_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runware, "CHECK_TIMEOUT", timedelta(seconds=0.2))
        async with FakeRunware() as server, RUNWARE.at(server) as made:
            server.account = "held"
            with pytest.raises(ProviderUnavailable, match=r"0\.2 s"):
                await made.check()
