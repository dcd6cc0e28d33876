"""Tries by kind. Each generator makes its tries from the routes and from what is in the world."""

from collections.abc import Callable, Iterator

from tests.attacks.judging import Try
from tests.attacks.kinds import browsers, identities, others, protocol, requests, texts
from tests.attacks.routes import Route
from tests.attacks.world import World

Generator = Callable[[World, list[Route]], Iterator[Try]]

KINDS: dict[str, Generator] = {
    "forged sign-in": identities.forged,
    "sign-in elsewhere": identities.misplaced,
    "session": identities.sessions,
    "redirect after sign-in": identities.redirects,
    "another tenant's job": others.jobs,
    "another spelling of an id": others.spellings,
    "events of another's job": others.events,
    "ids that count up": others.counting,
    "another's picture as a reference": others.references,
    "signed URL": others.signatures,
    "another's money and productions": others.money,
    "another's Idempotency-Key": others.idempotency,
    "oracle": others.oracles,
    "foreign host": browsers.hosts,
    "page of another site": browsers.sites,
    "page of another site, without sign-in": browsers.local_sites,
    "traversal": requests.traversal,
    "method": requests.methods,
    "content type": requests.content_types,
    "header": requests.headers,
    "smuggling": requests.smuggling,
    "old version": protocol.old,
    "body in chunks": protocol.lengths,
    "pipelining": protocol.pipelines,
    "a header twice": protocol.doubles,
    "absolute target": protocol.absolute,
    "upgrade": protocol.upgrades,
    "cookies": protocol.cookies,
    "through a proxy, without sign-in": protocol.forwarded,
    "body before sign-in": requests.early_bodies,
    "body": requests.bodies,
    "webhook into this network": requests.webhooks,
    "upload": requests.uploads,
    "script": texts.scripts,
    "control characters": texts.control_characters,
}
