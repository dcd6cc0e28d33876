"""How one webhook is sent: to the checked address under its name, following nothing, waiting for nobody long."""

import socket
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from darkroom._version import __version__
from darkroom.domain.errors import ReceiverGone, ReceiverUnavailable
from darkroom.webhooks import sending
from darkroom.webhooks.egress_policy import Destination
from darkroom.webhooks.sending import HttpSender
from darkroom.webhooks.target import read_target
from tests.support.webhooks.certificates import certified
from tests.support.webhooks.receiver import Receiver

HEADERS = {"webhook-id": "msg_1"}


def destination(url: str, *addresses: str) -> Destination:
    return Destination(read_target(url), tuple(ip_address(address) for address in addresses or ["127.0.0.1"]))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths."""
    monkeypatch.setattr(sending, "STEP_PATIENCE", 0.2)
    monkeypatch.setattr(sending, "WHOLE_PATIENCE", 2.5)


async def test_an_event_arrives_as_it_was_sent_under_the_name_of_the_order() -> None:
    async with Receiver() as receiver:
        host = f"shop.example:{receiver.port}"
        to = destination(f"http://{host}/hooks//a%20b?token=x&y=%2F")
        assert await HttpSender().post(to, HEADERS, b'{"type":"job.completed"}') == 200
        [got] = receiver.received
    assert (got.path, got.body) == ("/hooks//a%20b?token=x&y=%2F", b'{"type":"job.completed"}')
    assert got.headers["host"] == host
    assert (got.headers["content-type"], got.headers["webhook-id"]) == ("application/json", "msg_1")
    assert got.headers["user-agent"] == f"Darkroom/{__version__}"
    assert {"authorization", "cookie"}.isdisjoint(got.headers)


async def test_tls_is_verified_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    certificate, trust = certified(tmp_path, "shop.example")
    async with Receiver(certificate=certificate) as receiver:
        url = f"https://shop.example:{receiver.port}/"
        assert await HttpSender(trust).post(destination(url), HEADERS, b"{}") == 200
        for sender, name in ((HttpSender(trust), "other.example"), (HttpSender(), "shop.example")):
            with pytest.raises(ReceiverUnavailable, match=r"(?i)certificate"):
                await sender.post(destination(f"https://{name}:{receiver.port}/"), HEADERS, b"{}")
        assert len(receiver.received) == 1


async def test_a_redirect_is_not_followed() -> None:
    async with Receiver("302") as receiver:
        with pytest.raises(ReceiverUnavailable, match="returned 302"):
            await HttpSender().post(destination(receiver.hook), HEADERS, b"{}")
        assert [got.path for got in receiver.received] == ["/hooks?token=xyzzy"]


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as receiver, Receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert await HttpSender().post(destination(receiver.hook), HEADERS, b"{}") == 200
        assert (receiver.accepted, proxy.accepted) == (1, 0)


@pytest.mark.parametrize("answer", ["400", "404", "429", "500", "nothing"])
async def test_what_is_not_taken_can_be_tried_again(answer: str) -> None:
    async with Receiver(answer) as receiver:
        with pytest.raises(ReceiverUnavailable) as failed:
            await HttpSender().post(destination(receiver.hook), HEADERS, b"{}")
        assert failed.value.retry_after == (timedelta(hours=1) if answer == "429" else None)
        assert "xyzzy" not in str(failed.value)


async def test_gone_is_for_good() -> None:
    async with Receiver("410") as receiver:
        with pytest.raises(ReceiverGone):
            await HttpSender().post(destination(receiver.hook), HEADERS, b"{}")


async def test_a_receiver_that_is_not_there_can_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ReceiverUnavailable):
        await HttpSender().post(destination(f"http://shop.example:{port}/"), HEADERS, b"{}")


async def test_the_next_address_is_tried_when_nobody_listens_at_the_first() -> None:
    async with Receiver() as receiver:
        to = destination(f"http://shop.example:{receiver.port}/", "127.0.0.2", "127.0.0.1")
        assert await HttpSender().post(to, HEADERS, b"{}") == 200


@pytest.mark.usefixtures("impatient")
async def test_a_receiver_that_says_nothing_is_not_waited_for() -> None:
    async with Receiver("silence") as receiver:
        with pytest.raises(ReceiverUnavailable):
            await HttpSender().post(destination(receiver.hook), HEADERS, b"{}")
        await receiver.until(lambda: receiver.connections == 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answer", ["200 and never done", "200 and endless", "204"])
async def test_the_status_counts_whatever_becomes_of_the_rest(answer: str) -> None:
    async with Receiver(answer) as receiver:
        assert await HttpSender().post(destination(receiver.hook), HEADERS, b"{}") in (200, 204)
        await receiver.until(lambda: receiver.connections == 0)
