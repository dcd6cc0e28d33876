"""Texts that do something where they are shown: scripts on the page, control characters on a terminal.

Written by a tenant, looked at by an operator: what is in is what reaches the operator as it was written.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid5

from darkroom.api.routes.orders import KEYS
from tests.attacks.judging import Rule, Try, Who
from tests.attacks.routes import Route
from tests.attacks.wire import Answer, Ask, sending, uploading
from tests.attacks.world import GREEN, World, picture

SCRIPTS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'-alert(1)-'",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "{{7*7191}}{% import os %}",
    "${7*7191}#{7*7191}",
    "javascript:alert(1)",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "</title><body onload=alert(1)>",
    "\\u003cscript\\u003ealert(1)",
)
EVALUATED = "50337"
CONTROLS = {
    "a colour": "\x1b[31mred",
    "a cleared screen": "\x1b[2J\x1b[H",
    "the clipboard": "\x1b]52;c;ZWNobyBoaQ==\x07",
    "a title": "\x1b]0;root\x07",
    "a link": "\x1b]8;;http://evil.example\x1b\\x\x1b]8;;\x1b\\",
    "C1": "\x9b31mred\x9d52;c;x\x9c",
    "a bell": "\x07",
    "a backspace": "rm\x08\x08ls",
    "a carriage return": "ok\rfailed",
    "a newline": "one\ntwo",
    "a line separator": "one\u2028two",
    "turned letters": "\u202egnp.exe",
    "isolated letters": "\u2066x\u2069",
    "a delete": "a\x7fb",
    "a NUL": "a\x00b",
}


def _orders(text: str) -> dict[str, dict[str, Any]]:
    stage = {"prompt": f"a lemon {text}", "quantity": 1}
    return {
        "prompt": {"stages": [stage]},
        "label": {"prompt": "x", "rows": [{"label": text, "quantity": 1}]},
        "variable": {"prompt": "a {colour} lemon", "variables": {"colour": [text]}},
        "dialogue": {"style": "cartoon", "pages": [{"dialogues": [text]}]},
        "angle": {"basePrompt": "a lemon", "combinations": [{"angle": text, "shot": "full", "quantity": 1}]},
        "unknown key": {"stages": [{"prompt": "x", "quantity": 1, text: 1}]},
    }


def shown_as_html(text: str) -> Rule:
    """In is a text that a page has as it was written, or that a template was made of."""

    def rule(answer: Answer) -> bool:
        raw = any(sign in text for sign in "<>\"'") and text in answer.text
        return (raw and answer.kind == "text/html") or EVALUATED in answer.text

    return rule


def scripts(world: World, _: list[Route]) -> Iterator[Try]:
    """Scripts in whatever a tenant writes, quoted to themselves and shown to an operator."""
    attacker = world.attacker.bearer
    for text in SCRIPTS:
        rule = shown_as_html(text)
        for name, document in _orders(text).items():
            ask = sending("POST", "/api/jobs/quote", document, attacker)
            yield Try("script", f"quote, {name}: {text}", ask, Who.TENANT, also_in=rule)
        for target in (
            *(f"/jobs?status={text}", f"/sign-in?next={text}", f"/{text}", f"/jobs/{text}", f"/stats?days={text}"),
            *(f"/docs?url={text}", f"/api/jobs?cursor={text}"),
        ):
            ask = Ask("GET", target.replace(" ", "%20"), [attacker])
            yield Try("script", target, ask, Who.TENANT, also_in=rule)
    yield from _shown(world, "script", SCRIPTS, shown_as_html)


def control_characters(world: World, _: list[Route]) -> Iterator[Try]:
    """What terminals obey, in names and reasons. A prompt may have lines."""
    yield from _shown(world, "control characters", tuple(CONTROLS.values()), read_back)


def read_back(text: str) -> Rule:
    """In is a text with control characters for whoever reads it back: JSON only writes them otherwise."""
    dangerous = {sign for sign in text if not sign.isprintable()}

    def rule(answer: Answer) -> bool:
        if "json" in answer.kind:
            return any(dangerous & set(told) for told in _strings(json.loads(answer.body)))
        return bool(dangerous - set("\n\r\t") & set(answer.text))

    return rule


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def _shown(world: World, kind: str, texts: Sequence[str], rule_for: Callable[[str], Rule]) -> Iterator[Try]:
    """Written by the attacker in each place that keeps a text, then looked at by the operator."""
    attacker, operator = world.attacker.bearer, world.operator.bearer
    for number, text in enumerate(texts):
        rule, shown = rule_for(text), f"{number} {text!r}"
        upload = uploading("/api/attachments", f"{text}.png", picture(GREEN), attacker)
        yield Try(kind, f"name of a file: {shown}", upload, Who.TENANT, also_in=rule)
        # So that its id is known: the same key is the same job.
        key = f"{kind} {number}"
        job_id = uuid5(KEYS, f"{world.attacker.user_id} {key}")
        document = {"prompt": f"a lemon {text}" if kind == "script" else "a lemon", "rows": [{"label": text}]}
        order = sending("POST", "/api/jobs", document, attacker, ("Idempotency-Key", key))
        yield Try(kind, f"label: {shown}", order, Who.TENANT, also_in=rule)
        reason = sending("POST", f"/api/jobs/{job_id}/cancel", {"reason": text}, attacker)
        yield Try(kind, f"reason: {shown}", reason, Who.TENANT, also_in=rule)
        own = f"/api/jobs?userId={world.attacker.user_id}&limit=1"
        for target in (f"/api/jobs/{job_id}", f"/jobs/{job_id}", f"/api/jobs/{job_id}/order", own):
            look = Ask("GET", target, [operator])
            name = target.replace(str(job_id), "JOB").replace(str(world.attacker.user_id), "USER")
            yield Try(kind, f"{name} as an operator: {shown}", look, Who.TENANT, also_in=rule)
        quote = sending("POST", "/api/jobs/quote", document, attacker)
        yield Try(kind, f"label in a quote: {shown}", quote, Who.TENANT, also_in=rule)
