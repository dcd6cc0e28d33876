"""Sends one webhook: to the addresses that were checked, without following redirects or trusting the response."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus

import httpx

from darkroom._version import __version__
from darkroom.domain.errors import ReceiverGone, ReceiverUnavailable
from darkroom.domain.retry_after import read_retry_after
from darkroom.webhooks.egress_policy import Destination
from darkroom.webhooks.networks import IPAddress
from darkroom.webhooks.target import Target

STEP_PATIENCE = 10.0
"""Seconds to connect, and between two bytes of an answer."""
WHOLE_PATIENCE = 30.0
"""Seconds for everything: a receiver that sends a byte now and then would never end."""
MOST_OF_AN_ANSWER = 64 * 1024


class HttpSender:
    """Posts events.

    Args:
        trust: whose certificates are believed; what this machine believes by default.
    """

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self._trust = trust or _machines_trust()

    async def post(self, destination: Destination, headers: Mapping[str, str], body: bytes) -> int:
        """Post to the first of the addresses that a connection can be made to; the status, one of 200 to 299.

        Raises:
            ReceiverGone: it answers 410.
            ReceiverUnavailable: it cannot be reached, is too slow or answers anything else.
        """
        shown = destination.target.shown
        try:
            async with asyncio.timeout(WHOLE_PATIENCE):
                status, asked = await self._post(destination, headers, body)
        except TimeoutError:
            raise ReceiverUnavailable(f"{shown} took longer than {WHOLE_PATIENCE:.0f} s") from None
        except httpx.HTTPError as error:
            raise ReceiverUnavailable(f"{shown}: {_described(error)}") from None
        if status == HTTPStatus.GONE:
            raise ReceiverGone(f"{shown} returned 410: it accepts no more events")
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise ReceiverUnavailable(f"{shown} returned {status}", asked)
        return status

    async def _post(
        self, destination: Destination, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, timedelta | None]:
        target = destination.target
        # One client a webhook: a connection kept for one name must not serve another name at the same address.
        async with httpx.AsyncClient(
            verify=self._trust, trust_env=False, follow_redirects=False, timeout=STEP_PATIENCE
        ) as client:
            *first, last = (_request(client, target, address, headers, body) for address in destination.addresses)
            for request in first:
                with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return await _answer(client, request)
            return await _answer(client, last)


def _described(error: httpx.HTTPError) -> str:
    """What went wrong. Only errors of sockets are quoted: others can hold our headers, the signature among them."""
    quotable = isinstance(error, httpx.NetworkError | httpx.TimeoutException)
    return (" ".join(str(error).split()) if quotable else "") or type(error).__name__


@cache
def _machines_trust() -> ssl.SSLContext:
    """Whose certificates are believed: read once a process, because it takes tens of milliseconds."""
    return httpx.create_ssl_context()


def _request(
    client: httpx.AsyncClient, target: Target, address: IPAddress, headers: Mapping[str, str], body: bytes
) -> httpx.Request:
    """A request to the address itself; the name stands in `Host`, and the certificate must be the name's."""
    url = httpx.URL(scheme=target.scheme, host=str(address), port=target.port, raw_path=target.path.encode("ascii"))
    asked = {
        "Host": target.authority,
        "User-Agent": f"Darkroom/{__version__}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **headers,
    }
    return client.build_request("POST", url, headers=asked, content=body, extensions={"sni_hostname": target.host})


async def _answer(client: httpx.AsyncClient, request: httpx.Request) -> tuple[int, timedelta | None]:
    answer = await client.send(request, stream=True)
    try:
        # The status has said it all. Whoever still writes would see a broken connection, so some of it is read.
        with suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(STEP_PATIENCE):
                read = 0
                async for part in answer.aiter_raw():
                    read += len(part)
                    if read > MOST_OF_AN_ANSWER:
                        break
    finally:
        await answer.aclose()
    return answer.status_code, read_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
