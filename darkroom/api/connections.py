"""Connections: how many there may be, and how long each may take to say what it wants."""

import asyncio
import ipaddress
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from darkroom.domain.model import Value

log = structlog.get_logger(__name__)

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

RETRY_AFTER = 10
LINGER = 2.0
"""Seconds that a client has to read why it was refused, before what it still sends is answered with a reset."""
MOST_LINGERING = 64
_IPV6_SITE = 64
"""Bits of an IPv6 address that tell one customer of a provider from another: each has all addresses behind them."""


class ConnectionLimits(Value):
    """What a process grants its clients."""

    connections: int
    """In all."""
    per_address: int
    head_timeout: float
    """Seconds for a request's head, from its first byte (of a new connection: from its start) to its last."""
    body_timeout: float
    """Seconds for a request's body, and for a client to take what is sent to it."""
    trusted_proxies: Networks = ()
    """Who connects for many: their addresses have no limit of their own."""


class Waiting(Protocol):
    """A connection that has no request in progress."""

    def drop(self) -> None:
        """End it."""


@dataclass
class Connections:
    """The open connections of a process, by address."""

    limits: ConnectionLimits
    open: int = 0
    lingering: int = 0
    by_address: Counter[str] = field(default_factory=Counter)
    waiting: dict[Waiting, None] = field(default_factory=dict)
    """Those without a request in progress, the longest waiting first."""

    def enter(self, address: str | None) -> str | None:
        """Count a connection; if it is one too many, why.

        Where the process has too many, the one that has waited longest for a request makes room: who opens connections
        and says nothing shuts nobody out.
        """
        self.open += 1
        if address is not None:
            self.by_address[address] += 1
            if self.by_address[address] > self.limits.per_address:
                return f"more than {self.limits.per_address:,} connections from your address"
        if self.open > self.limits.connections:
            if not self.waiting:
                return "too many connections to this server"
            oldest = next(iter(self.waiting))
            del self.waiting[oldest]
            oldest.drop()
        return None

    def leave(self, address: str | None) -> None:
        """Forget a connection."""
        self.open -= 1
        if address is not None:
            self.by_address[address] -= 1
            if not self.by_address[address]:
                del self.by_address[address]

    def counted_as(self, host: str | None) -> str | None:
        """The address under which a client counts; None for one that has no limit of its own, as proxies have."""
        try:
            address = _address(host)
        except ValueError:
            return None
        return None if any(address in network for network in self.limits.trusted_proxies) else customer_of(host)


def customer_of(host: str | None) -> str:
    """The address under which a client counts."""
    try:
        address = _address(host)
    except ValueError:
        return "-"
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_SITE), strict=False))
    return str(address)


def _address(host: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address((host or "").partition("%")[0])
    # A socket for both versions of IP says ::ffff:203.0.113.9.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 with deadlines. uvicorn's own has one only between requests."""

    table: Connections

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited = ""
        self._counted: str | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count the connection; its head must come in time."""
        super().connection_made(transport)
        self._counted = self.table.counted_as(self.client[0] if self.client else None)
        reason = self.table.enter(self._counted)
        if reason is None:
            self.table.waiting[self] = None
            self._await("head", self.table.limits.head_timeout)
        else:
            self._refuse(429, f"{reason}; close some, or try again in {RETRY_AFTER} s")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._await("")
        self.table.waiting.pop(self, None)
        self.table.leave(self._counted)
        if self._refused:
            self.table.lingering -= 1
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass data on, and see what is awaited next."""
        if self._refused or self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """A request is over; what of it is still to come is not waited for long."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """The client does not read: it has as long as a body has."""
        super().pause_writing()
        self._await("reader", self.table.limits.body_timeout)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._awaited == "reader":
            self._await("")
            self._watch()

    def drop(self) -> None:
        """Make room for another one."""
        self.transport.abort()

    def _watch(self) -> None:
        """Set the deadline of what the client owes us now; one that is set already stays as it is."""
        self._note_waiting()
        if self.transport.is_closing() or self._awaited == "reader":
            return
        theirs = self.conn.their_state
        if theirs is h11.IDLE:
            begun = bool(self.conn.trailing_data[0])
            if begun and self._awaited != "head":
                self._await("head", self.table.limits.head_timeout)
            elif not begun and self.cycle is not None:
                # Between two requests uvicorn's own limit holds.
                self._await("")
        elif theirs is h11.SEND_BODY and self.cycle.response_complete:
            if self._awaited != "rest":
                self._await("rest", LINGER)
        elif theirs is h11.SEND_BODY:
            if self._awaited != "body":
                self._await("body", self.table.limits.body_timeout)
        else:
            self._await("")

    def _note_waiting(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self.table.waiting.pop(self, None)
        elif not self.transport.is_closing():
            self.table.waiting.setdefault(self)

    def _await(self, what: str, seconds: float = 0) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._awaited = what
        self._deadline = self.loop.call_later(seconds, self._give_up) if what else None

    def _give_up(self) -> None:
        awaited, self._deadline = self._awaited, None
        if self.transport.is_closing():
            self.transport.abort()
        elif awaited == "head" or (awaited == "body" and not self.cycle.response_started):
            if self.cycle is not None:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self._refuse(408, f"the request's {awaited} did not arrive in time")
        else:
            self.transport.abort()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer in place of the application, and close when the client has had time to read why."""
        self._refused = True
        self.table.lingering += 1
        log.debug("connection refused", status=status, reason=detail)
        title = "Too many requests" if status == 429 else "Request timeout"
        code = "too_many_requests" if status == 429 else "timeout"
        problem = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
        body = json.dumps({**problem, "retryable": True, "request_id": "-"}).encode()
        self.transport.write(
            f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
            f"Retry-After: {RETRY_AFTER}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        if self.table.lingering > MOST_LINGERING:
            self.transport.close()
            return
        self.transport.write_eof()
        self._await("goodbye", LINGER)


def protocol_with(limits: ConnectionLimits) -> type[GuardedProtocol]:
    """The protocol of one server, whose connections are counted together."""

    class Protocol(GuardedProtocol):
        table = Connections(limits)

    return Protocol
