"""Requests that are not what they should be: paths, methods, types, headers, bodies, addresses, files."""

import json
from collections.abc import Iterator
from typing import Any

from tests.api.test_hostile_requests import PARTS
from tests.api.test_hostile_requests import ROUTES as PATHS
from tests.attacks.judging import Try, Who, accepted
from tests.attacks.routes import Route, of_jobs
from tests.attacks.wire import Answer, Ask, sending, uploading
from tests.attacks.world import GREEN, World, picture
from tests.support.webhooks.hostile_addresses import HOSTS

METHODS = ("TRACE", "CONNECT", "PROPFIND", "DELETE", "PUT", "HEAD", "LOCK", "get", "G\tET", "DEBUG", "MOVE")
LARGE = 8 * 1024 * 1024
WAITS = 1.0
"""Seconds after which an answer that has not come waits for the body."""
HANGS = 0.4
"""Seconds that a request without an end is given."""


def traversal(world: World, _: list[Route]) -> Iterator[Try]:
    """Paths that lead elsewhere, as they stand."""
    more = (
        "..%2f..%2fnot-for-you.txt",
        "..%2frecords.db",
        "../../not-for-you.txt",
        "%2e%2e/records.db",
        "....//records.db",
    )
    for path in PATHS:
        for part in (*PARTS, *more):
            for who, headers in ((Who.STRANGER, ()), (Who.TENANT, (world.attacker.bearer,))):
                if who is Who.TENANT and part not in more:
                    continue
                target = path.replace("{}", part)
                yield Try("traversal", f"{who}: {target[:80]}", Ask("GET", target, headers), who)


def methods(world: World, found: list[Route]) -> Iterator[Try]:
    """Methods that a route does not have, on what is the victim's."""
    job_id, attach_id = world.victim.jobs["paused"], world.victim.upload
    for path in sorted({route.path for route in found}):
        target = Route("GET", path).ask(job_id, attach_id).target
        for method in METHODS:
            ask = Ask(method, target, [world.attacker.bearer, ("Origin", world.api.url)])
            yield Try("method", f"{method!r} {path}", ask, Who.TENANT)
    read = {route.path for route in found if not route.changes}
    for path in sorted({route.path for route in found} - read):
        target = Route("GET", path).ask(job_id, attach_id).target
        for method in ("GET", "HEAD"):
            for header in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "_method"):
                # As a link of another site's page would have the victim's browser ask.
                ask = Ask(method, target, [world.victim.cookie, (header, "POST"), ("Sec-Fetch-Site", "cross-site")])
                yield Try("method", f"{method} {path} with {header}", ask, also_in=accepted)


def content_types(world: World, found: list[Route]) -> Iterator[Try]:
    """Bodies that say they are something else, for what is the victim's."""
    kinds = (
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-7",
        "application/json-patch+json",
        "text/csv",
        "image/svg+xml",
        "application/json\x0b",
        "*/*",
    )
    for route in found:
        if route.changes:
            for kind in kinds:
                given = route.ask(world.victim.jobs["paused"])
                headers = [world.attacker.bearer, ("Content-Type", kind), ("Origin", world.api.url)]
                yield Try(
                    "content type",
                    f"{route.name} as {kind!r}",
                    Ask(given.method, given.target, headers, given.body),
                    Who.TENANT,
                )


def headers(world: World, found: list[Route]) -> Iterator[Try]:
    """Headers by which a proxy tells the server who asks, where, and what: here they say nothing."""
    victim = str(world.victim.user_id)
    told = {
        "who": (
            ("X-Forwarded-User", victim),
            ("X-User-Id", victim),
            ("X-Remote-User", victim),
            ("X-Authenticated-User", victim),
        ),
        "an operator": (("X-Operator", "true"), ("X-Role", "service_role"), ("X-Admin", "1")),
        "this machine": (
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Real-IP", "127.0.0.1"),
            ("Forwarded", "for=127.0.0.1"),
            ("True-Client-IP", "127.0.0.1"),
            ("X-Client-IP", "::1"),
        ),
        "another path": (
            ("X-Original-URL", f"/api/jobs/{world.victim.jobs['completed']}"),
            ("X-Rewrite-URL", f"/api/jobs/{world.victim.jobs['completed']}"),
        ),
        "another host": (("X-Forwarded-Host", "evil.example"), ("X-Host", "evil.example")),
        "two keys": (("Authorization", "Bearer dk_nobody"), ("Authorization", f"Bearer {victim}")),
    }

    def leads_to_another(answer: Answer) -> bool:
        return "evil.example" in answer.text or "evil.example" in answer.headers.get("location", "")

    for route in found:
        for name, given in told.items():
            ask = route.ask(world.victim.jobs["paused"], world.victim.upload, *given, ("Origin", world.api.url))
            yield Try("header", f"{route.name}: {name}", ask, also_in=leads_to_another)


def smuggling(world: World, found: list[Route]) -> Iterator[Try]:
    """One request in another: where two programs read lengths differently, the second one is somebody else's."""
    hidden = f"GET /api/jobs HTTP/1.1\r\nHost: {{host}}\r\nAuthorization: Bearer {world.victim.key[:-1]}\r\n\r\n"
    lengths = {
        "two lengths": "Content-Length: 0\r\nContent-Length: {n}",
        "two in one": "Content-Length: 0, {n}",
        "both": "Content-Length: {n}\r\nTransfer-Encoding: chunked",
        "both, the other way": "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "chunked with a space": "Transfer-Encoding : chunked\r\nContent-Length: {n}",
        "chunked and more": "Transfer-Encoding: chunked, identity\r\nContent-Length: {n}",
        "chunked by name": "Transfer-Encoding: xchunked\r\nContent-Length: {n}",
        "on a folded line": "Transfer-Encoding:\r\n chunked\r\nContent-Length: {n}",
        "with a plus": "Content-Length: +{n}",
        "in hexadecimal": "Content-Length: 0x{n}",
        "negative": "Content-Length: -{n}",
        "with an underscore": "Content-Length: 1_0",
        "with a tab": "Transfer-Encoding:\tchunked\r\nContent-Length: {n}",
        "by a bare newline": "Content-Length: 0\nTransfer-Encoding: chunked",
        "in an old version": "Content-Length: {n}\r\nConnection: keep-alive, Content-Length",
        "with a NUL": "Content-Length: {n}\x00",
    }
    for route in found:
        if route.changes:
            target = route.ask(world.victim.jobs["paused"]).target
            for name, length in lengths.items():
                body = "0\r\n\r\n" + hidden
                head = f"{route.method} {target} HTTP/1.1\r\nHost: {{host}}\r\nContent-Type: application/json\r\n"
                raw = head + f"Authorization: Bearer {world.attacker.key}\r\n" + length.replace("{n}", str(len(body)))
                yield Try(
                    "smuggling",
                    f"{route.name}: {name}",
                    Ask(raw=(raw + "\r\n\r\n" + body).encode()),
                    Who.TENANT,
                    patience=HANGS,
                )


def early_bodies(world: World, found: list[Route]) -> Iterator[Try]:
    """A stranger's body is not read: the answer comes before it."""
    strangers = (
        ("nobody", ""),
        ("an unknown key", "Authorization: Bearer dk_nobody\r\n"),
        ("a forged cookie", "Cookie: darkroom_session=dk_x\r\n"),
    )

    def waits(answer: Answer) -> bool:
        return answer.status == 0

    for route in found:
        if not route.changes or route.is_page:
            continue
        given = route.ask(world.victim.jobs["paused"])
        kind = dict(given.headers)["Content-Type"]
        for name, header in strangers:
            for length in (f"Content-Length: {LARGE}", "Transfer-Encoding: chunked"):
                raw = f"{route.method} {given.target} HTTP/1.1\r\nHost: {{host}}\r\nOrigin: {world.api.url}\r\n"
                raw += f"Content-Type: {kind}\r\n{header}{length}\r\n\r\n"
                part = "8\r\n[[[[[[[[\r\n" if "chunked" in length else "[" * 1_000
                yield Try(
                    "body before sign-in",
                    f"{route.name} by {name}: {length.partition(':')[0]}",
                    Ask(raw=(raw + part).encode()),
                    also_in=waits,
                    patience=WAITS,
                )


def bodies(world: World, found: list[Route]) -> Iterator[Try]:
    """Documents that are deep, long, double or no documents, for what is the victim's."""
    deep = 20_000
    documents: dict[str, bytes] = {
        "deep lists": b"[" * deep + b"]" * deep,
        "deep objects": b'{"a":' * deep + b"1" + b"}" * deep,
        "unfinished": b'{"stages": [',
        "NaN": b'{"reason": NaN}',
        "a large number": b'{"reason": ' + b"9" * 5_000 + b"}",
        "a large exponent": b'{"reason": 1e999999}',
        "keys twice": b'{"job_id": "x", "job_id": "y", "reason": "a", "reason": "b"}',
        "many keys": json.dumps({f"key-{n}": n for n in range(20_000)}).encode(),
        "not UTF-8": b'{"reason": "\xff\xfe"}',
        "UTF-16": '{"reason": "a"}'.encode("utf-16"),
        "a surrogate": b'{"reason": "\\ud800"}',
        "a NUL": b'{"reason": "\\u0000"}',
        "a prototype": b'{"__proto__": {"operator": true}, "constructor": {"prototype": {"operator": true}}}',
        "a text": b'"{}"',
        "nothing": b"",
        "an operator": b'{"operator": true, "by": "local", "caller": {"operator": true}}',
    }
    for route in of_jobs(found):
        if route.changes and not route.is_page:
            for name, document in documents.items():
                given = route.ask(world.victim.jobs["paused"])
                ask = Ask(
                    given.method, given.target, [world.attacker.bearer, ("Content-Type", "application/json")], document
                )
                yield Try("body", f"{route.name}: {name}", ask, Who.TENANT, also_in=accepted, patience=5)
    for path in ("/api/jobs/quote", "/api/jobs"):
        for name, document in documents.items():
            ask = Ask("POST", path, [world.attacker.bearer, ("Content-Type", "application/json")], document)
            yield Try("body", f"POST {path}: {name}", ask, Who.TENANT, also_in=accepted, patience=5)


def webhooks(world: World, _: list[Route]) -> Iterator[Try]:
    """Addresses in this network that a webhook would be sent to."""

    def document(url: str) -> dict[str, Any]:
        return {"stages": [{"prompt": "a lemon", "quantity": 1}], "webhook_url": url}

    urls = [f"http://{host}:{world.host.rpartition(':')[2]}/hook" for host in HOSTS]
    urls += [
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "ftp://127.0.0.1/",
        "http://user:pass@127.0.0.1/",
        "http://127.0.0.1#@example.com/",
        "http://example.com@127.0.0.1/",
        "javascript:alert(1)",
        "//127.0.0.1/x",
        "http:127.0.0.1",
        "http:///127.0.0.1",
        "HTTP://127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
        "http://%31%32%37.0.0.1/",
        "http://127。0。0。1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://localhost%00.example.com/",
    ]
    for url in urls:
        for path in ("/api/jobs/quote", "/api/jobs"):
            yield Try(
                "webhook into this network",
                f"{path} {url}",
                sending("POST", path, document(url), world.attacker.bearer),
                Who.TENANT,
                also_in=accepted,
            )


def uploads(world: World, _: list[Route]) -> Iterator[Try]:
    """Files with names that lead elsewhere, and files that are no pictures."""
    good = picture(GREEN)
    names = (
        "../../../../tmp/x.png",
        "..\\..\\x.png",
        "/etc/cron.d/x",
        "C:\\x.png",
        "a.png\x00.php",
        ".htaccess",
        "",
        "a" * 5_000,
        "records.db",
        "../records.db",
        "con",
        "%2e%2e%2fx.png",
        "a;rm -rf.png",
        "a\u202egnp.exe",
        "~/x.png",
        f"user-{world.victim.user_id}/x.png",
        f"../generated-images/user-{world.victim.user_id}/x.png",
    )
    files = {
        "an SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "HTML": b"<html><script>alert(1)</script></html>",
        "a program": b"\x7fELF" + bytes(200),
        "nothing": b"",
        "half a picture": good[: len(good) // 2],
        "PostScript": b"%!PS\n(/etc/passwd) (r) file",
        "a playlist": b"#EXTM3U\nfile:///etc/passwd",
        "ImageMagick's": b"push graphic-context\nimage over 0,0 0,0 'file:///etc/passwd'\npop graphic-context",
        "a zip": b"PK\x03\x04" + bytes(100),
    }
    for name in names:
        ask = uploading("/api/attachments", name, good)
        yield Try("upload", f"named {name[:60]!r} by a stranger", ask, also_in=accepted)
    for name in names:
        ask = uploading("/api/attachments", name, good, world.attacker.bearer)
        yield Try("upload", f"named {name[:60]!r}", ask, Who.TENANT)
    for name, data in files.items():
        ask = uploading("/api/attachments", "a.png", data, world.attacker.bearer)
        yield Try("upload", name, ask, Who.TENANT, also_in=accepted)
