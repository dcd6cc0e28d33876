"""Tries that need a server of their own: addresses that are forged, and receivers of webhooks that lead elsewhere."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from darkroom.api.turns import OF_ONE
from darkroom.domain.errors import DarkroomError
from darkroom.webhooks.egress_policy import Destination
from darkroom.webhooks.sending import HttpSender
from darkroom.webhooks.target import read_target
from tests.attacks.conftest import Tally
from tests.attacks.wire import Ask, exchange
from tests.support.fakes.http import Answer, Request
from tests.support.stacks.api import running_api
from tests.support.stacks.temporal_server import running_temporal
from tests.support.webhooks.receiver import Receiver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEYS = 5
"""Wrong ones that an address may send a minute."""
REAL = "203.0.113.9"


def _direct() -> Iterator[list[tuple[str, str]]]:
    """What a client says of its address that no proxy of ours speaks for."""
    for number in range(1, 21):
        forged = f"198.51.100.{number}"
        yield [("X-Forwarded-For", forged)]
        yield [("X-Forwarded-For", f"{forged}, 127.0.0.1")]
        yield [("X-Real-IP", forged), ("Client-IP", forged), ("True-Client-IP", forged), ("CF-Connecting-IP", forged)]
        yield [("Forwarded", f"for={forged}"), ("Via", "1.1 proxy")]
        yield [("X-Forwarded-For", f"2001:db8:{number}::1"), ("X-Forwarded-Proto", "https")]


def _behind_a_proxy() -> Iterator[list[tuple[str, str]]]:
    """The same before a proxy adds the address that it sees, in a header of its own or behind what the client sent."""
    for number in range(1, 21):
        forged = f"198.51.100.{number}"
        yield [("X-Forwarded-For", f"{forged}, {REAL}")]
        yield [("X-Forwarded-For", forged), ("X-Forwarded-For", REAL)]
        yield [("X-Forwarded-For", f"{forged},, 127.0.0.1 ,{REAL}")]
        yield [("X-Forwarded-For", f'"{forged}", unknown, , {REAL}')]
        yield [("X-Forwarded-For", REAL), ("X-Real-IP", forged), ("Forwarded", f"for={forged}")]


def _in_one_network() -> Iterator[list[tuple[str, str]]]:
    """Addresses of which one client has as many as it likes."""
    for number in range(1, 41):
        yield [("X-Forwarded-For", f"2001:db8:1:2:{number:x}::{number:x}")]


@pytest.mark.parametrize(
    ("name", "proxies", "tries"),
    [
        ("a forged address, without a proxy", ("10.0.0.0/8",), _direct),
        ("a forged address, behind a proxy", ("127.0.0.0/8",), _behind_a_proxy),
        ("another address of the same network", ("127.0.0.0/8",), _in_one_network),
    ],
)
async def test_no_address_has_more_wrong_keys_by_calling_itself_another(
    name: str, proxies: tuple[str, ...], tries: Any, tmp_path: Path, tally: Tally
) -> None:
    settings = {"api_host": "0.0.0.0", "api_failed_keys_per_minute": KEYS, "api_trusted_proxies": proxies}
    async with (
        running_temporal() as temporal,
        running_api(temporal, tmp_path, workers=False, settings=settings) as api,
    ):
        asks = [
            Ask("GET", "/api/jobs", [("Authorization", f"Bearer dk_wrong-{number}"), *headers])
            for number, headers in enumerate(tries())
        ]
        statuses = [(await exchange(api.url, ask, 20)).status for ask in asks[:KEYS]]
        # Together, because each of these is answered late, and after a minute there are more.
        statuses += [one.status for one in await asyncio.gather(*(exchange(api.url, ask, 20) for ask in asks[KEYS:]))]
        other = Ask("GET", "/api/jobs", [("Authorization", "Bearer dk_wrong"), ("X-Forwarded-For", "192.0.2.77")])
        of_another = (await exchange(api.url, other, 20)).status
    tally.made[name] = len(statuses)
    assert set(statuses) == {401, 429}
    # The window slides: twice as many where a minute ends in between, and those that were sent together.
    assert statuses.count(401) <= 2 * KEYS + OF_ONE
    if "127.0.0.0/8" in proxies:
        assert of_another == 401


class _Leading(Receiver):
    """A receiver that answers with a redirect."""

    answer_now = Answer(b"", 302)

    async def respond(self, request: Request) -> Answer:
        await super().respond(request)
        return self.answer_now


INTERNAL = (
    "127.0.0.1",
    "localhost",
    "[::ffff:127.0.0.1]",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0.0.0.0",
)
"""Ways to write where something listens that is nobody else's."""


async def test_no_receiver_leads_a_webhook_into_this_network(tally: Tally) -> None:
    name = "webhook that is redirected"
    to = "shop.example"
    made = 0
    async with _Leading() as receiver, Receiver() as internal:
        destination = Destination(read_target(f"http://{to}:{receiver.port}/hook"), (ip_address("127.0.0.1"),))
        for status in (300, 301, 302, 303, 305, 307, 308):
            for host in INTERNAL:
                there = f"http://{host}:{internal.port}/latest/meta-data"
                for headers in ({"Location": there}, {"Location": there, "Refresh": f"0; url={there}"}):
                    receiver.answer_now = Answer(b"", status, headers=headers)
                    with pytest.raises(DarkroomError):
                        await HttpSender().post(destination, {"webhook-id": "msg_1"}, b"{}")
                    made += 1
        for header in ("Refresh", "Content-Location", "Alt-Svc", "Link"):
            value = f'h2="127.0.0.1:{internal.port}"' if header == "Alt-Svc" else f"http://127.0.0.1:{internal.port}/"
            receiver.answer_now = Answer(b"", 200, headers={header: value})
            await HttpSender().post(destination, {"webhook-id": "msg_1"}, b"{}")
            made += 1
        assert len(receiver.received) == made
        assert internal.accepted == 0
    tally.made[name] = made
