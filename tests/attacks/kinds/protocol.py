"""What HTTP allows, or allowed once, and few clients do: nothing of it says who asks, where, or how much.

Tries of strangers come between those of the tenant, whose own jobs change meanwhile: in is a stranger who is answered.
"""

import re
from collections.abc import Iterator

from tests.attacks.judging import Try, Where, Who, accepted
from tests.attacks.kinds.requests import HANGS
from tests.attacks.routes import Route, protected
from tests.attacks.wire import Answer, Ask
from tests.attacks.world import World

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


def _raw(ask: Ask, world: World, *lines: str, version: str = "1.1", target: str = "", host: bool = True) -> bytes:
    """The head of a request with just these lines, and what it names itself."""
    said = [f"{ask.method} {target or ask.target} HTTP/{version}"]
    said += ["Host: {host}"] if host else []
    said += [f"{name}: {value}" for name, value in ask.headers] + [f"Origin: {world.api.url}", *lines]
    return "\r\n".join([*said, "", ""]).encode()


def _line(header: tuple[str, str]) -> str:
    return ": ".join(header)


def _open(answer: Answer) -> bool:
    """A stranger is answered, or a protocol is changed."""
    return answer.status == 101 or accepted(answer)


def old(world: World, found: list[Route]) -> Iterator[Try]:
    """HTTP/1.0 and before, where `Host` may be missing."""
    for route in protected(found):
        ask = route.ask(world.victim.jobs["paused"], world.victim.upload)
        length = f"Content-Length: {len(ask.body)}"
        for version, host in (("1.0", True), ("1.0", False), ("0.9", False), ("2.0", True)):
            raw = _raw(ask, world, length, version=version, host=host) + ask.body
            name = f"{route.name} in HTTP/{version}{'' if host else ' without Host'}"
            yield Try("old version", name, Ask(raw=raw), Who.TENANT, also_in=_open, patience=HANGS)
            mine = _raw(ask, world, length, _line(world.attacker.bearer), version=version, host=host) + ask.body
            yield Try("old version", f"{name}, signed in", Ask(raw=mine), Who.TENANT, patience=HANGS)


def lengths(world: World, found: list[Route]) -> Iterator[Try]:
    """Bodies in chunks, or without any length."""
    for route in found:
        if not route.changes:
            continue
        ask = route.ask(world.victim.jobs["paused"])
        size = f"{len(ask.body):x}".encode()
        bodies = {
            "in one chunk": size + b"\r\n" + ask.body + b"\r\n0\r\n\r\n",
            "with an extension": size + b";a=" + b"b" * 5_000 + b"\r\n" + ask.body + b"\r\n0\r\n\r\n",
            "with a trailer": size + b"\r\n" + ask.body + b"\r\n0\r\nAuthorization: Bearer dk_nobody\r\n\r\n",
            "a byte at a time": b"".join(b"1\r\n%c\r\n" % byte for byte in ask.body) + b"0\r\n\r\n",
            "with a size beyond all": b"f" * 40 + b"\r\n" + ask.body,
            "without an end": size + b"\r\n" + ask.body + b"\r\n",
        }
        for name, body in bodies.items():
            for name_of, lines in (("a stranger", ()), ("the tenant", (_line(world.attacker.bearer),))):
                raw = _raw(ask, world, "Transfer-Encoding: chunked", "Connection: close", *lines) + body
                made = Ask(raw=raw)
                named, rule = f"{route.name} {name}: {name_of}", None if lines else accepted
                yield Try("body in chunks", named, made, Who.TENANT, also_in=rule, patience=HANGS)
        raw = _raw(ask, world, "Connection: close") + ask.body
        yield Try(
            "body in chunks",
            f"{route.name} without a length",
            Ask(raw=raw),
            Who.TENANT,
            also_in=accepted,
            patience=HANGS,
        )


def pipelines(world: World, found: list[Route]) -> Iterator[Try]:
    """A second request behind one that is signed in: it is a stranger's all the same."""
    first = _raw(Ask("GET", "/api/jobs"), world, _line(world.attacker.bearer))

    def second_is_answered(answer: Answer) -> bool:
        return any(status.startswith(b"2") for status in _STATUS.findall(answer.data)[1:])

    for route in protected(found):
        ask = route.ask(world.victim.jobs["paused"], world.victim.upload)
        raw = _raw(ask, world, f"Content-Length: {len(ask.body)}", "Connection: close") + ask.body
        made = Ask(raw=first + raw)
        yield Try("pipelining", route.name, made, Who.TENANT, also_in=second_is_answered, patience=HANGS)
        made = Ask(raw=first * 50 + raw)
        yield Try("pipelining", f"{route.name} behind 50", made, Who.TENANT, patience=HANGS)


def doubles(world: World, found: list[Route]) -> Iterator[Try]:
    """A header twice, of which two programs take different ones."""
    unknown, mine = "Authorization: Bearer dk_nobody", _line(world.attacker.bearer)
    lines = {
        "two hosts": ("Host: evil.example",),
        "two hosts, signed in": ("Host: evil.example", mine),
        "two keys": (unknown, mine),
        "two keys, the other way": (mine, unknown),
        "a key and another scheme": ("Authorization: Basic dk_x", mine),
        "two sessions": (_line(world.cookie), "Cookie: darkroom_session=dks_nobody"),
        "two lengths alike": ("Content-Length: {n}", mine),
        "two types": ("Content-Type: text/plain", mine),
        "two origins": ("Origin: https://evil.example", mine),
    }
    for route in protected(found):
        ask = route.ask(world.victim.jobs["paused"], world.victim.upload)
        for name, more in lines.items():
            length = f"Content-Length: {len(ask.body)}"
            said = [line.replace("{n}", str(len(ask.body))) for line in more]
            raw = _raw(ask, world, length, "Connection: close", *said) + ask.body
            yield Try("a header twice", f"{route.name}: {name}", Ask(raw=raw), Who.TENANT, patience=HANGS)


def absolute(world: World, found: list[Route]) -> Iterator[Try]:
    """Targets with a scheme and a host, as a proxy gets them: this is none, and the host is not theirs to say."""
    for route in protected(found):
        ask = route.ask(world.victim.jobs["paused"], world.victim.upload)
        for host in ("http://evil.example", "https://127.0.0.1", "http://user:pass@{host}", "//evil.example", "ws://x"):
            for name, more in (("a stranger", ()), ("the tenant", (_line(world.attacker.bearer),))):
                length = f"Content-Length: {len(ask.body)}"
                raw = _raw(ask, world, length, "Connection: close", *more, target=host + ask.target) + ask.body
                made, rule = Ask(raw=raw), None if more else accepted
                named = f"{route.name} at {host}: {name}"
                yield Try("absolute target", named, made, Who.TENANT, also_in=rule, patience=HANGS)


def upgrades(world: World, found: list[Route]) -> Iterator[Try]:
    """Other protocols over the same connection."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    protocols = {
        "websocket": ("Connection: Upgrade", "Upgrade: websocket", key, "Sec-WebSocket-Version: 13"),
        "websocket of no version": ("Connection: Upgrade", "Upgrade: websocket", key),
        "h2c": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    }
    for route in protected(found):
        if route.changes:
            continue
        ask = route.ask(world.victim.jobs["paused"], world.victim.upload)
        for name, lines in protocols.items():
            made = Ask(raw=_raw(ask, world, *lines))
            yield Try("upgrade", f"{route.name} to {name}", made, Who.TENANT, also_in=_open, patience=HANGS)
            made = Ask(raw=_raw(ask, world, *lines, _line(world.attacker.bearer)))
            yield Try("upgrade", f"{route.name} to {name}, signed in", made, Who.TENANT, patience=HANGS)


def cookies(world: World, found: list[Route]) -> Iterator[Try]:
    """Very many cookies, very long ones, and broken ones."""
    own = world.cookie[1]
    kept = {
        "a thousand": "; ".join(f"c{n}=v" for n in range(1_000)),
        "a thousand sessions": "; ".join(f"darkroom_session=dks_{n}" for n in range(1_000)),
        "a long one": "darkroom_session=" + "a" * 30_000,
        "a broken one": 'darkroom_session="a; darkroom_session=\\"; =; ;;',
        "without a name": "=dks_x; darkroom_session",
    }
    for route in protected(found):
        ask = route.ask(world.victim.jobs["paused"], world.victim.upload)
        for name, cookie in kept.items():
            made = ask.with_headers(("Cookie", cookie), ("Origin", world.api.url))
            yield Try("cookies", f"{route.name}: {name}", made, Who.TENANT, also_in=accepted)
            made = ask.with_headers(("Cookie", f"{cookie}; {own}"), ("Origin", world.api.url))
            yield Try("cookies", f"{route.name}: {name} before the tenant's", made, Who.TENANT)


def forwarded(world: World, found: list[Route]) -> Iterator[Try]:
    """Without sign-in, who comes through a proxy is not the local user, whatever the proxy says."""
    told = (
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-For", "203.0.113.9, 127.0.0.1"),
        ("X-Forwarded-For", "::ffff:127.0.0.1"),
        ("X-Forwarded-For", ""),
        ("Forwarded", 'for="[::1]"'),
        ("Forwarded", "for=203.0.113.9;host=127.0.0.1"),
        ("X-Forwarded-Host", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 proxy"),
    )
    for route in protected(found):
        for header in told:
            ask = route.ask(world.victim.jobs["paused"], world.victim.upload, header)
            named = f"{route.name}: {_line(header)}"
            yield Try("through a proxy, without sign-in", named, ask, where=Where.LOCAL, also_in=accepted)
