"""The guard: no webhook goes to this machine, its network or a cloud's metadata, whatever its name resolves to."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

import structlog

from darkroom.domain.errors import ReceiverUnavailable, WebhookRefused
from darkroom.webhooks.networks import IPAddress, IPNetwork, is_allowed, why_refused
from darkroom.webhooks.target import Target, read_target

log = structlog.get_logger(__name__)

LOOK_UP_PATIENCE = 3.0
"""Seconds: an order is checked while its user waits, and within the 12 s of an activity."""
_LOOK_UPS_AT_ONCE = 16

_LOOPBACK: tuple[IPAddress, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


class Resolver(Protocol):
    """Where a host's name leads."""

    async def addresses(self, host: str) -> Sequence[IPAddress]:
        """All addresses of the name, at least one, the one to try first at the beginning.

        Raises:
            ReceiverUnavailable: it has none, or nobody can say.
        """
        ...


class SystemResolver:
    """Asks as every other program on this machine would."""

    def __init__(self) -> None:
        # Threads of our own: a name server that hangs must not hold those that encode pictures.
        self._threads = ThreadPoolExecutor(_LOOK_UPS_AT_ONCE, thread_name_prefix="names")

    async def addresses(self, host: str) -> Sequence[IPAddress]:
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._threads, socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM)
        try:
            answers = await asyncio.wait_for(asked, LOOK_UP_PATIENCE)
        except TimeoutError:
            raise ReceiverUnavailable(f"{host} could not be resolved within {LOOK_UP_PATIENCE:.0f} s") from None
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise ReceiverUnavailable(f"{host} cannot be resolved ({reason or error})") from None
        return tuple(dict.fromkeys(ip_address(answer[4][0]) for answer in answers))

    def close(self) -> None:
        """Begin no more look-ups; wait for none."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class Destination:
    """Where a webhook goes: exactly these addresses, so that nobody looks the name up once more."""

    target: Target
    addresses: tuple[IPAddress, ...]


class EgressPolicy:
    """Says where webhooks may go.

    Args:
        resolver: looks names up.
        allowed: networks that are allowed though they are not the public internet.
    """

    def __init__(self, resolver: Resolver, allowed: Sequence[IPNetwork] = ()) -> None:
        self._resolver = resolver
        self._allowed = tuple(allowed)

    async def admit(self, url: str) -> None:
        """Check the address of an order.

        A name that cannot be resolved now may be resolved when the job ends, so it is admitted over https; it is
        checked again at every sending. So is a name of this network: another answer would tell strangers which names
        there are in it.

        Raises:
            WebhookRefused: no webhook will ever go there, by what the address itself says.
        """
        target = read_target(url)
        try:
            await self._check(target)
        except (ReceiverUnavailable, WebhookRefused) as error:
            if target.address is not None or target.is_local:
                raise
            if not target.secure:
                raise WebhookRefused("must be https; http is only for networks that the operator allows") from None
            log.warning("webhook admitted, to which none is sent now", host=target.host, reason=str(error))

    async def destination(self, url: str) -> Destination:
        """Where to connect to, looked up and checked now.

        Raises:
            WebhookRefused: no webhook may go there.
            ReceiverUnavailable: the name does not resolve this time.
        """
        target = read_target(url)
        return Destination(target, await self._check(target))

    async def _check(self, target: Target) -> tuple[IPAddress, ...]:
        found = await self._addresses(target)
        for address in found:
            if is_allowed(address, self._allowed):
                continue
            # Not the address itself: it would tell strangers what names inside this network lead to.
            resolves = "is" if target.address is not None else "resolves to"
            refused = why_refused(address)
            if refused is not None:
                raise WebhookRefused(
                    f"{target.host} {resolves} {refused}; webhooks are sent only to public addresses and to "
                    "WEBHOOK_ALLOWED_NETWORKS"
                )
            if not target.secure:
                raise WebhookRefused(f"must be https, because {target.host} is not in WEBHOOK_ALLOWED_NETWORKS")
        return found

    async def _addresses(self, target: Target) -> tuple[IPAddress, ...]:
        if target.address is not None:
            return (target.address,)
        if target.is_local:
            # By its definition (RFC 6761), even where a name server says otherwise or says nothing.
            return tuple(address for address in _LOOPBACK if is_allowed(address, self._allowed)) or _LOOPBACK
        return tuple(await self._resolver.addresses(target.host))
