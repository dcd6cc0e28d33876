"""What customers see: reasons in their words, and no costs.

The records, the logs and the command line keep what an operator can act on: which setting is wrong, which command
helps. A customer can do neither, so that each edge where one reads says it in these words; nothing is stored twice.
"""

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)

DRAWING = "the picture service is not set up correctly; the operator has to fix this"
SERVICE = "the picture service"
"""What does not run, where operators read the names of task queues that no worker serves."""
KEEPING = "the service cannot store its pictures or records; the operator has to fix this"

SPENT = "today's limit of the picture service is reached"

_CEILING = re.compile(r"\b\S+'s daily ceiling of \$[^;]*")
_PROVIDERS = re.compile(
    r"""
    \b (?: GEMINI | RUNWARE ) _ | \b IMAGE_PROVIDER \b      # settings
    | \b set\ the\ provider's\ API\ key \b
    | \b enable\ billing \b                                  # remedies that shortening may leave alone
    | \b resolve\ this\ with\ (?: Google | Runware ) \b
    """,
    re.VERBOSE,
)
_PLACES = re.compile(
    r"""
    \b (?: SUPABASE | DARKROOM | TEMPORAL | METRICS ) _      # settings
    | \b supabase/migrations \b
    | \b (?: records | storage ) \ https?://                 # where they are is nobody else's business
    | \b create\ it\ in\ Supabase \b
    | \b (?: the\ project's\ Storage | the\ bucket's\ settings ) \b
    """,
    re.VERBOSE,
)
_COMMAND = re.compile(r"; [^;]*`darkroom (?!submit\b)[^;]*")
_NETWORKS = re.compile(r"(?:,? because [^;]* is not in| and to) WEBHOOK_ALLOWED_NETWORKS\b")
_BEGINNING = re.compile(r"(?:nothing was delivered: |paused: )?(?:stage \d+: )?")
_NEXT_STAGE = re.compile(r"; (?=stage \d+: )")

REASONS = frozenset({"detail", "error_message", "fault", "message", "pause_reason", "reason"})
"""The fields that say why; all others stay as they are."""


OPERATORS = frozenset({"costs"})
"""The fields that customers do not see: what the operator pays is the operator's business."""


def in_customers_words(text: str) -> str:
    """The text, unless it tells what only an operator can do."""
    return "; ".join(map(_one_reason, _NEXT_STAGE.split(text)))


def for_customers(value: M) -> M:
    """The same value as customers see it: its reasons in their words, in whatever it holds; itself, if
    nothing differs."""
    changed: dict[str, Any] = {}
    for name in type(value).model_fields:
        held = getattr(value, name)
        if name in OPERATORS:
            said: object = None
        elif name == "without_worker" and held:
            said = (SERVICE,)
        elif name in REASONS and isinstance(held, str):
            said = in_customers_words(held)
        else:
            said = _inside(held)
        if said is not held and said != held:
            changed[name] = said
    return value.model_copy(update=changed) if changed else value


def _inside(held: object) -> object:
    if isinstance(held, BaseModel):
        return for_customers(held)
    if isinstance(held, tuple):
        return _each(held)
    return held


def _each(held: Iterable[object]) -> tuple[object, ...]:
    return tuple(for_customers(one) if isinstance(one, BaseModel) else one for one in held)


def _one_reason(text: str) -> str:
    found = _BEGINNING.match(text)
    beginning = found[0] if found else ""
    text = _CEILING.sub(SPENT, text)
    if _PROVIDERS.search(text):
        return beginning + DRAWING
    if _PLACES.search(text):
        return beginning + KEEPING
    return _NETWORKS.sub("", _COMMAND.sub("", text))
