"""What belongs to others: jobs, pictures, events, money."""

import json
import socket
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

from tests.attacks.judging import Try, Who, accepted
from tests.attacks.routes import Route, of_jobs
from tests.attacks.wire import Answer, Ask, sending
from tests.attacks.world import World

INTERNAL = (socket.gethostname(), f"{socket.gethostname()}.local")
"""Names of a network that nobody outside should learn. `localhost` is none of them: RFC 6761 says where it leads."""
BEYOND = 12
"""Ids that nobody has yet."""


def _as_attacker(world: World) -> dict[str, tuple[tuple[str, str], ...]]:
    return {
        "a key": (world.attacker.bearer,),
        "a token": (world.attacker.token,),
        "a session": (world.cookie, ("Origin", world.api.url)),
    }


def jobs(world: World, found: list[Route]) -> Iterator[Try]:
    """Every route about a job, for every job of somebody else's, by every way to sign in."""
    for route in of_jobs(found):
        for standing, job_id in world.jobs_of_others.items():
            for way, headers in _as_attacker(world).items():
                ask = route.ask(job_id, "", *headers)
                yield Try(
                    "another tenant's job",
                    f"{route.name} of the {standing} one with {way}",
                    ask,
                    Who.TENANT,
                    also_in=accepted,
                )


def _spelled(job_id: UUID) -> dict[str, str]:
    text = str(job_id)
    return {
        "in capitals": text.upper(),
        "without dashes": job_id.hex,
        "in braces": f"%7B{text}%7D",
        "as a URN": f"urn:uuid:{text}",
        "with a space": f"%20{text}",
        "with a NUL": f"{text}%00",
        "with a newline": f"{text}%0a",
        "with a comma": f"{text},{text}",
        "encoded": "".join(f"%{ord(sign):02x}" for sign in text),
        "behind a slash": f"/{text}",
        "behind dots": f"../jobs/{text}",
        "behind ours": f"{uuid4()}/../{text}",
        "as a wildcard": "%25",
    }


def spellings(world: World, found: list[Route]) -> Iterator[Try]:
    """The same ids, spelled otherwise."""
    for route in of_jobs(found):
        for name, spelled in _spelled(world.victim.jobs["completed"]).items():
            ask = route.ask(spelled, "", world.attacker.bearer)
            yield Try("another spelling of an id", f"{route.name} {name}", ask, Who.TENANT, also_in=_accepted_another)


def _accepted_another(answer: Answer) -> bool:
    # Behind dots lies our own list of jobs, which is empty of others.
    return accepted(answer) and answer.kind not in ("application/json", "text/html")


def events(world: World, _: list[Route]) -> Iterator[Try]:
    """Streams of somebody else's job, from any place on."""
    lasts = ("", "0", "1", "-1", "999999999", "2.end", "0.end", ".end", "9" * 39, "%", "\u0662")
    for standing in ("completed", "paused", "cancelled"):
        target = f"/api/jobs/{world.victim.jobs[standing]}/events"
        for last in lasts:
            for who, header in ((Who.TENANT, world.attacker.bearer), (Who.STRANGER, ("Accept", "text/event-stream"))):
                ask = Ask("GET", f"{target}?after=0", [header, ("Last-Event-ID", last)])
                yield Try(
                    "events of another's job", f"{standing} after {last!r} as a {who}", ask, who, also_in=accepted
                )


def counting(world: World, _: list[Route]) -> Iterator[Try]:
    """Attachments have numbers: all of them, and some more."""
    highest = max(world.pictures_of_others) + BEYOND
    own = world.own_signed.partition("?")[2]
    mine = world.attachments_of(world.attacker)
    for number in [*range(1, highest + 1), 0, -1, 2**31, 2**63]:
        for way, headers in _as_attacker(world).items():
            ask = Ask("GET", f"/api/attachments/{number}", headers)
            yield Try(
                "ids that count up",
                f"attachment {number} with {way}",
                ask,
                Who.TENANT,
                also_in=None if number in mine else accepted,
            )
        yield Try(
            "ids that count up",
            f"attachment {number} as a stranger",
            Ask("GET", f"/api/attachments/{number}"),
            also_in=accepted,
        )
        if number not in mine:
            for path in (f"/pictures/{number}", f"/pictures/{number}/thumbnail"):
                for name, query in (("unsigned", ""), ("with the signature of another", f"?{own}")):
                    yield Try("ids that count up", f"{path} {name}", Ask("GET", path + query), also_in=accepted)


def _naming(attach_id: int) -> dict[str, dict[str, Any]]:
    """Orders that use a picture, in every field that names one."""
    stage = {"prompt": "a lemon", "quantity": 1}
    return {
        "mergedImageAttachId": {"stages": [{**stage, "mergedImageAttachId": attach_id}]},
        "merged_image_attach_id": {"stages": [{**stage, "merged_image_attach_id": attach_id}]},
        "individualImageAttachIds": {
            "stages": [{**stage, "individualImageAttachIds": [{"attachId": attach_id, "type": "top"}]}]
        },
        "uploadedAttachIds": {**stage, "uploadedAttachIds": [{"attachId": attach_id, "type": "model"}]},
        "mergedImages": {"mergedImages": [{"mergedAttachId": attach_id, "wrappingPrompt": "x", "photoIndex": 0}]},
        "pages": {"style": "cartoon", "pages": [{"dialogues": ["x"], "attachId": attach_id}]},
        "combinations": {
            "basePrompt": "x",
            "individualImageAttachIds": [{"attachId": attach_id, "type": "top"}],
            "combinations": [{"angle": "front", "shot": "full", "quantity": 1}],
        },
        "rows": {"prompt": "x", "rows": [{"references": [attach_id]}]},
        "the oldest": {"prompt": "x", "quantity": 1, "mergedImageAttachId": attach_id},
    }


def references(world: World, _: list[Route]) -> Iterator[Try]:
    """Pictures of others, ordered after."""
    for attach_id in world.pictures_of_others:
        for name, document in _naming(attach_id).items():
            for path in ("/api/jobs/quote", "/api/jobs"):
                ask = sending("POST", path, document, world.attacker.bearer)
                yield Try(
                    "another's picture as a reference", f"{path} {name} {attach_id}", ask, Who.TENANT, also_in=accepted
                )


def signatures(world: World, _: list[Route]) -> Iterator[Try]:
    """URLs that were signed for something else, or not by us."""
    path, query = world.victim.signed.split("?")
    right = dict(part.split("=") for part in query.split("&"))
    own = dict(part.split("=") for part in world.own_signed.partition("?")[2].split("&"))
    wrong: dict[str, dict[str, str]] = {
        "none": {},
        "an empty one": {**right, "signature": ""},
        "cut": {**right, "signature": right["signature"][:-1]},
        "longer": {**right, "signature": right["signature"] + "A"},
        "padded": {**right, "signature": right["signature"] + "="},
        "in other capitals": {**right, "signature": right["signature"].swapcase()},
        "later": {**right, "expires": str(int(right["expires"]) + 3_600)},
        "at the end of time": {**right, "expires": str(2**39)},
        "with a plus": {**right, "expires": f"+{int(right['expires']) + 1}"},
        "expired": {**right, "expires": "0"},
        "of one's own picture": own,
        "half of one's own": {**right, "signature": own["signature"]},
    }
    for name, values in wrong.items():
        for attach_id in world.pictures_of_others:
            for view in ("", "/thumbnail"):
                asked = "&".join(f"{key}={value}" for key, value in values.items())
                yield Try(
                    "signed URL",
                    f"picture {attach_id}{view}: {name}",
                    Ask("GET", f"/pictures/{attach_id}{view}?{asked}"),
                    also_in=accepted,
                )
    yield Try(
        "signed URL", "a file's signature for the thumbnail", Ask("GET", f"{path}/thumbnail?{query}"), also_in=accepted
    )


def money(world: World, _: list[Route]) -> Iterator[Try]:
    """Orders at somebody else's cost, or into somebody else's production."""
    victim = world.victim
    naming: dict[str, Any] = {
        "userId": str(victim.user_id),
        "user_id": str(victim.user_id),
        "quel_member_id": str(victim.user_id),
        "org_id": str(victim.org_id),
        "orgId": str(victim.org_id),
        "production_id": str(victim.production_id),
        "productionId": str(victim.production_id),
        "book_id": str(victim.book_id),
        "bookId": str(victim.book_id),
    }
    negative: dict[str, dict[str, Any]] = {
        "a negative ceiling": {"max_credits": -1000},
        "a negative quantity": {"stages": [{"prompt": "x", "quantity": -5}]},
        "a fraction": {"stages": [{"prompt": "x", "quantity": 0.5}]},
        "a text": {"stages": [{"prompt": "x", "quantity": "1e9"}]},
        "not a number": {"stages": [{"prompt": "x", "quantity": True}]},
        "too many": {"stages": [{"prompt": "x", "quantity": 10**12}]},
        "an own price": {"unit_price": 0, "price": 0, "max_top_ups": -1},
        "an own balance": {"balance": 10**9, "credits": 10**9},
    }
    base = {"stages": [{"prompt": "a lemon", "quantity": 1}]}
    book = {"style": "cartoon", "pages": [{"dialogues": ["x"]}]}
    for path in ("/api/jobs/quote", "/api/jobs"):
        for name, value in naming.items():
            # A name that no document has is ignored, and the order is one's own.
            known = None if name in ("quel_member_id", "orgId", "productionId", "bookId") else accepted
            for form, given in (("", value), (" in capitals", str(value).upper())):
                document = {**(book if name == "book_id" else base), name: given}
                ask = sending("POST", path, document, world.attacker.bearer)
                yield Try("another's money and productions", f"{path} {name}{form}", ask, Who.TENANT, also_in=known)
        for name, more in negative.items():
            ask = sending("POST", path, {**base, **more}, world.attacker.bearer)
            yield Try("another's money and productions", f"{path} {name}", ask, Who.TENANT)
    for query in (f"userId={victim.user_id}", f"user_id={victim.user_id}", "userId=", "limit=200&status=pending"):
        for target in ("/api/jobs", "/jobs", "/api/account", "/api/stats"):
            ask = Ask("GET", f"{target}?{query}", [world.attacker.bearer])
            yield Try("another's money and productions", f"{target}?{query}", ask, Who.TENANT)
    cursor = {"created_at": "2999-01-01T00:00:00Z", "job_id": str(victim.jobs["completed"])}
    text = urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")
    yield Try(
        "another's money and productions",
        "a cursor of another's list",
        Ask("GET", f"/api/jobs?cursor={text}", [world.attacker.bearer]),
        Who.TENANT,
    )


def idempotency(world: World, _: list[Route]) -> Iterator[Try]:
    """The key that the victim used for an order."""
    key = world.victim.idempotency_key
    job_id = str(world.victim.jobs["completed"])

    def is_the_victims(answer: Answer) -> bool:
        return job_id in answer.text

    for given in (key, f" {key}", f"{world.victim.user_id} {key}", key.upper(), f"{key}\t"):
        document = {"stages": [{"prompt": "a lemon", "quantity": 1}]}
        ask = sending("POST", "/api/jobs", document, world.attacker.bearer, ("Idempotency-Key", given))
        yield Try("another's Idempotency-Key", repr(given), ask, Who.TENANT, also_in=is_the_victims)


def oracles(world: World, found: list[Route]) -> Iterator[Try]:
    """Whether something of somebody else's exists: the answer is the one for what does not."""
    headers = (world.attacker.bearer, ("Origin", world.api.url))
    for route in of_jobs(found):
        for standing, job_id in world.jobs_of_others.items():
            twin = route.ask(uuid4(), "", *headers)
            yield Try(
                "oracle", f"{route.name} of the {standing} one", route.ask(job_id, "", *headers), Who.TENANT, twin=twin
            )
    nobodys = max(world.pictures_of_others) + 1_000
    for attach_id in world.pictures_of_others:
        target = "/api/attachments/{}"
        asks = [Ask("GET", target.format(number), headers) for number in (attach_id, nobodys)]
        yield Try("oracle", f"attachment {attach_id}", asks[0], Who.TENANT, twin=asks[1])
        for name, document in _naming(attach_id).items():
            asks = [sending("POST", "/api/jobs/quote", one, *headers) for one in (document, _naming(nobodys)[name])]
            yield Try("oracle", f"reference {name} {attach_id}", asks[0], Who.TENANT, twin=asks[1])
    for internal in INTERNAL:
        documents = [
            {"stages": [{"prompt": "a lemon", "quantity": 1}], "webhook_url": f"https://{host}/hook"}
            for host in (internal, "no-such-name.invalid")
        ]
        asks = [sending("POST", "/api/jobs/quote", document, *headers) for document in documents]
        yield Try("oracle", f"the name {internal}", asks[0], Who.TENANT, twin=asks[1])
