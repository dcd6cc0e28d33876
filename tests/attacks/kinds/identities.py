"""Who one is: forged, misplaced and stolen sign-ins."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote

import jwt

from darkroom.api.sign_in import COOKIE
from darkroom.domain.keys import hash_of
from tests.attacks.judging import Try, Who, accepted
from tests.attacks.routes import Route, protected
from tests.attacks.wire import Answer, Ask
from tests.attacks.world import World
from tests.support.tokens import SECRET, token

NONE, NONE_IN_CAPITALS = '{"alg":"none","typ":"JWT"}', '{"alg":"None","typ":"JWT"}'
RS256, ES256 = '{"alg":"RS256","kid":"1"}', '{"alg":"ES256","kid":"1"}'


def _segment(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _credentials(world: World) -> Iterator[tuple[str, tuple[str, str]]]:
    """Sign-ins that none of ours are, each as the victim where it can be."""
    victim, attacker = str(world.victim.user_id), world.attacker
    good = token(sub=victim)
    head, content, signature = good.split(".")
    claims = f'{{"sub":"{victim}","aud":"authenticated","exp":9999999999}}'
    bearer = {
        "an unknown key": "dk_nobody-has-this-key",
        "the hash of a key": hash_of(world.victim.key),
        "the hash with the prefix of a key": f"dk_{hash_of(world.victim.key)}",
        "a key in capitals": world.victim.key.upper(),
        "a key cut short": world.victim.key[:-1],
        "a key with more behind it": f"{world.victim.key}x",
        "the user's id": victim,
        "a token by another secret": token("another secret, which the project does not know", sub=victim),
        "an expired token": token(sub=victim, exp=time.time() - 60),
        "a token that begins tomorrow": token(sub=victim, nbf=time.time() + 86_400),
        "a token for anon": token(sub=victim, aud="anon"),
        "a token without audience": token(sub=victim, aud=None),
        "a token without end": token(sub=victim, exp=None),
        "a token without subject": token(sub=None),
        "a token of no UUID": token(sub="admin"),
        "algorithm none": f"{_segment(NONE)}.{_segment(claims)}.",
        "algorithm None": f"{_segment(NONE_IN_CAPITALS)}.{_segment(claims)}.{signature}",
        "no signature": f"{head}.{content}.",
        "another's content": f"{head}.{_segment(claims)}.{signature}",
        "HS512": jwt.encode({"sub": victim, "aud": "authenticated", "exp": 9_999_999_999}, SECRET * 2, "HS512"),
        "RS256 by name": f"{_segment(RS256)}.{_segment(claims)}.{signature}",
        "ES256 by name": f"{_segment(ES256)}.{_segment(claims)}.{signature}",
        "a key of its own": jwt.encode(
            {"sub": victim, "aud": "authenticated", "exp": 9_999_999_999},
            "x" * 32,
            "HS256",
            headers={"jwk": {"kty": "oct", "k": _segment("x" * 32)}, "jku": "http://127.0.0.1:1/keys"},
        ),
        "a key file": jwt.encode(
            {"sub": victim, "aud": "authenticated", "exp": 9_999_999_999},
            "0" * 32,
            "HS256",
            headers={"kid": "../../../../../../dev/null"},
        ),
        "SQL": "dk_' or '1'='1",
        "nothing": "",
        "the word null": "null",
    }
    yield from ((name, ("Authorization", f"Bearer {secret}")) for name, secret in bearer.items())
    yield "no credentials", ("Accept", "*/*")
    yield "Basic", ("Authorization", "Basic " + _segment(f"{victim}:{victim}"))
    yield "a cookie of nobody's", ("Cookie", f"{COOKIE}=dk_nobody")
    yield "a cookie with the user's id", ("Cookie", f"{COOKIE}={victim}; user_id={victim}; operator=true")
    yield (
        "a cookie with a forged token",
        ("Cookie", f"{COOKIE}={token('another secret, long enough for it', sub=victim)}"),
    )
    yield "the attacker's key as a name", ("Authorization", f"Basic {_segment(attacker.key)}")


def forged(world: World, found: list[Route]) -> Iterator[Try]:
    """Every route that needs sign-in, with every sign-in that is none."""
    job_id, attach_id = world.victim.jobs["completed"], world.victim.pictures[0]
    for route in protected(found):
        for name, header in _credentials(world):
            origin = ("Origin", world.api.url)
            yield Try(
                "forged sign-in",
                f"{route.name} with {name}",
                route.ask(job_id, attach_id, header, origin),
                also_in=accepted,
            )


def misplaced(world: World, found: list[Route]) -> Iterator[Try]:
    """A good key where none belongs: it is nobody's sign-in there."""
    key, job_id = world.victim.key, world.victim.jobs["completed"]
    places: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
        "in the query": (f"?token={key}&access_token={key}&apikey={key}&api_key={key}", ()),
        "as apikey": ("", (("apikey", key), ("X-API-Key", key), ("X-Auth-Token", key))),
        "behind Token": ("", (("Authorization", f"Token {key}"),)),
        "without Bearer": ("", (("Authorization", key),)),
        "behind Basic": ("", (("Authorization", "Basic " + _segment(f":{key}")),)),
        "in a cookie of another name": ("", (("Cookie", f"session={key}; token={key}; sb-access-token={key}"),)),
        "as a proxy's user": ("", (("X-Forwarded-User", str(world.victim.user_id)), ("Remote-User", "root"))),
        "as a proxy's credentials": ("", (("Proxy-Authorization", f"Bearer {key}"),)),
    }
    for route in protected(found):
        if not route.changes:
            for name, (query, headers) in places.items():
                ask = route.ask(job_id, world.victim.upload, *headers)
                ask = Ask(ask.method, ask.target + query, ask.headers, ask.body)
                yield Try("sign-in elsewhere", f"{route.name}: {name}", ask, also_in=accepted)


def sessions(world: World, _: list[Route]) -> Iterator[Try]:
    """What the cookie gives away, and how long it lasts."""
    form = ("Content-Type", "application/x-www-form-urlencoded")
    here = ("Origin", world.api.url)
    key = world.attacker.key

    def has_the_key(answer: Answer) -> bool:
        return key in answer.headers.get("set-cookie", "")

    def is_open_to_scripts(answer: Answer) -> bool:
        cookie = answer.headers.get("set-cookie", "").lower()
        return not {"httponly", "samesite"} <= {part.strip().partition("=")[0] for part in cookie.split(";")}

    sign_in = Ask("POST", "/sign-in", [form, here], f"token={key}".encode())
    yield Try("session", "the cookie is the key", sign_in, Who.TENANT, also_in=has_the_key)
    yield Try("session", "the cookie is a script's", sign_in, Who.TENANT, also_in=is_open_to_scripts)
    value = world.victim.cookie[1].partition("=")[2]
    for name, cookie in {
        "twice, the first one forged": f"{COOKIE}=dk_forged; {world.victim.cookie[1]}",
        "quoted and cut": f'{COOKIE}="{value[:-1]}"',
        "in capitals": world.victim.cookie[1].upper(),
        "with another name before it": f"x{world.victim.cookie[1]}",
        "of another path": f"$Path=/; {COOKIE}=",
    }.items():
        for target in ("/jobs", f"/jobs/{world.victim.jobs['paused']}", "/api/jobs", "/api/account"):
            yield Try(
                "session", f"{target} with a cookie {name}", Ask("GET", target, [("Cookie", cookie)]), also_in=accepted
            )


def redirects(world: World, _: list[Route]) -> Iterator[Try]:
    """Where a sign-in leads: to a page of ours, whatever the link said."""
    form, here = ("Content-Type", "application/x-www-form-urlencoded"), ("Origin", world.api.url)
    places = [
        *("//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example"),
        *("https:evil.example", "http:///evil.example", "javascript:alert(1)", "data:text/html,x", "/%2f/evil.example"),
        *(
            "/\t/evil.example",
            "\t//evil.example",
            "/\r\nLocation: http://evil.example",
            "/\n/evil.example",
            " //evil.example",
        ),
        *("/.//evil.example", "/..//evil.example", "//evil.example/%2f..", "//evil.example@x", "/;@evil.example"),
        *("evil.example", "?next=//evil.example", "/%5cevil.example", "/\u2028/evil.example", "//\u3002evil"),
    ]

    def leads_away(answer: Answer) -> bool:
        where = answer.headers.get("location", "/").replace("\\", "/").strip()
        cleaned = "".join(sign for sign in where if sign not in "\t\r\n")
        return not cleaned.startswith("/") or cleaned.startswith("//") or "evil" in answer.headers.get("evil", "")

    for place in places:
        body = f"token={world.attacker.key}&next={quote(place)}".encode()
        yield Try(
            "redirect after sign-in",
            repr(place),
            Ask("POST", "/sign-in", [form, here], body),
            Who.TENANT,
            also_in=leads_away,
        )
        yield Try(
            "redirect after sign-in",
            f"the page for {place!r}",
            Ask("GET", f"/sign-in?next={quote(place)}"),
            also_in=leads_away,
        )
