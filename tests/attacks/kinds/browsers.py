"""Browsers that are led here: by names that lead to this machine, and by pages of other sites."""

from collections.abc import Iterator

from tests.attacks.judging import Try, Where, accepted
from tests.attacks.routes import Route
from tests.attacks.wire import Answer, Ask
from tests.attacks.world import World

EVIL = "evil.example"


def _foreign_hosts(port: str) -> list[str]:
    return [
        *(
            EVIL,
            f"{EVIL}:{port}",
            f"127.0.0.1.{EVIL}",
            f"localhost.{EVIL}:{port}",
            "127.0.0.1.nip.io",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
        ),
        *(
            "10.0.0.1",
            "169.254.169.254",
            "[::ffff:10.0.0.1]",
            "localhost_evil",
            "xn--80ak6aa92e.com",
            "0x7f000001.evil.example",
        ),
        *(
            "",
            "[::1",
            "127.0.0.1:80:80@evil",
            "evil.example#127.0.0.1",
            "evil.example/127.0.0.1",
            "127.0.0.1 evil.example",
        ),
    ]


def hosts(world: World, found: list[Route]) -> Iterator[Try]:
    """DNS rebinding: a name of somebody else's leads to the API that needs no sign-in."""
    port = world.local.url.rpartition(":")[2]
    for route in found:
        if route.path in ("/healthz", "/readyz"):
            continue
        for host in _foreign_hosts(port):
            ask = route.ask(world.victim.jobs["completed"], 1, ("Host", host))
            yield Try("foreign host", f"{route.name} as {host!r}", ask, where=Where.LOCAL, also_in=accepted)


def _strange(own: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """What browsers send with a request of another site's page."""
    return {
        "another origin": (("Origin", f"https://{EVIL}"),),
        "no origin": (("Origin", "null"),),
        "an empty origin": (("Origin", ""),),
        "this name on another port": (("Origin", "http://127.0.0.1:1"),),
        "this name before theirs": (("Origin", f"{own}.{EVIL}"),),
        "this name as a user": (("Origin", f"{own}@{EVIL}"),),
        "another scheme": (("Origin", f"file://{own.partition('//')[2]}/x"),),
        "two origins": (("Origin", f"https://{EVIL}"), ("Origin", own)),
        "two origins in one": (("Origin", f"{own}, https://{EVIL}"),),
        "cross-site": (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")),
        "same-site": (("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")),
        "cross-site with an empty Authorization": (("Sec-Fetch-Site", "cross-site"), ("Authorization", "")),
        "another origin with Basic": (("Origin", f"https://{EVIL}"), ("Authorization", "Basic dTpw")),
        "another origin with an empty Bearer": (("Origin", f"https://{EVIL}"), ("Authorization", "Bearer ")),
    }


def _allows_another(answer: Answer) -> bool:
    allowed = answer.headers.get("access-control-allow-origin", "")
    return accepted(answer) or EVIL in allowed or allowed in ("*", "null")


def sites(world: World, found: list[Route]) -> Iterator[Try]:
    """Pages of other sites in a browser that is signed in as the victim."""
    simple = ("text/plain", "application/x-www-form-urlencoded", "application/json")
    for route in found:
        if not route.changes:
            continue
        job_id = world.victim.jobs["completed" if route.path.endswith("/restart") else "paused"]
        for name, headers in _strange(world.api.url).items():
            ask = route.ask(job_id, "", world.victim.cookie, *headers)
            yield Try("page of another site", f"{route.name}: {name}", ask, also_in=_allows_another)
        for kind in simple:
            given = [(key, value) for key, value in route.ask(job_id).headers if key != "Content-Type"]
            ask = Ask(
                route.method,
                route.ask(job_id).target,
                [*given, world.victim.cookie, ("Content-Type", kind), ("Origin", f"https://{EVIL}")],
                b"{}",
            )
            yield Try("page of another site", f"{route.name} as {kind}", ask, also_in=_allows_another)
    for target in ("/sign-in", "/sign-out"):
        ask = Ask(
            "POST",
            target,
            [world.victim.cookie, ("Origin", f"https://{EVIL}"), ("Content-Type", "application/x-www-form-urlencoded")],
            f"token={world.attacker.key}".encode(),
        )
        # Signed in as somebody else, the victim would upload into their account.
        yield Try("page of another site", target, ask, also_in=lambda answer: "set-cookie" in answer.headers)
    for route in found:
        for method in ("GET", "POST", "PATCH", "DELETE"):
            ask = Ask(
                "OPTIONS",
                route.ask("x", "1").target,
                [
                    ("Origin", f"https://{EVIL}"),
                    ("Access-Control-Request-Method", method),
                    ("Access-Control-Request-Headers", "authorization"),
                ],
            )
            yield Try("page of another site", f"preflight for {method} {route.path}", ask, also_in=_allows_another)


def local_sites(world: World, found: list[Route]) -> Iterator[Try]:
    """Pages of other sites, in any browser of a machine that runs the API without sign-in."""
    for route in found:
        if route.changes:
            for name, headers in _strange(world.local.url).items():
                yield Try(
                    "page of another site, without sign-in",
                    f"{route.name}: {name}",
                    route.ask(world.victim.jobs["completed"], "", *headers),
                    where=Where.LOCAL,
                    also_in=_allows_another,
                )
