"""JSON as orders are sent in it: read strictly, and refused in one plain sentence."""

import json
import re
from typing import Any

from darkroom.domain.errors import OrderRejected

DEEPEST = 50
MOST_PARTS = 400_000
"""Strings, brackets and commas of a text. The largest order, 1,000 stages with 14 references each, has 200,000."""
# A string is one part, whatever it holds. One without its end goes to the end of the text: looked for again from each
# of its characters, it would take the square of its length.
_PARTS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
_REASONS = {
    "Expecting value": "a value is missing",
    "Expecting property name enclosed in double quotes": "a key in double quotes is missing",
    "Expecting ',' delimiter": "a comma is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Extra data": "there is more text after its end",
    "Unterminated string starting at": "a string has no closing quote",
    "Invalid control character at": "a string contains a control character; write it as an escape, such as \\n",
    "Invalid \\escape": "a string contains an unknown escape; write a backslash as \\\\",
    "Invalid \\uXXXX escape": "a string contains an incomplete \\u escape; it needs four hexadecimal digits",
}


class NotJson(OrderRejected):
    """The text is not JSON."""

    def __init__(self, reason: str) -> None:
        super().__init__("document", reason)


def read_json(text: str) -> Any:
    """What a JSON text holds.

    Raises:
        NotJson: with the place.
        OrderRejected: a key is given twice, a number is none, or there is more of it than any order has.
    """
    _check_size(text)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise NotJson(f"is not valid JSON: {_reason(text, error)}, line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotJson(f"is nested deeper than {DEEPEST} levels") from None
    except ValueError:  # a number of more digits than Python reads
        raise NotJson("is not valid JSON: a number has too many digits") from None


def _check_size(text: str) -> None:
    """Refuse what is nested too deeply or has too many parts, before anything is made of it.

    A value takes 60 times the memory of the two characters that it may be written with.
    """
    opening = text.count("[") + text.count("{")
    if opening <= DEEPEST and opening + text.count(",") + text.count('"') <= MOST_PARTS:
        return
    depth = 0
    for parts, found in enumerate(_PARTS.finditer(text)):
        if parts > MOST_PARTS:
            raise OrderRejected("document", f"has more than {MOST_PARTS:,} values and keys; place several orders")
        sign = text[found.start()]
        if sign in "[{":
            depth += 1
            if depth > DEEPEST:
                raise NotJson(f"is nested deeper than {DEEPEST} levels")
        elif sign in "]}":
            depth -= 1


def _reason(text: str, error: json.JSONDecodeError) -> str:
    if text[: error.pos].rstrip().endswith(",") and text[error.pos :].lstrip()[:1] in ("]", "}"):
        return "remove the comma before the closing bracket"
    return in_words(error.msg)


def in_words(message: str) -> str:
    """What the JSON parser says, in our words."""
    return _REASONS.get(message.partition(":")[0], "it cannot be read")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise OrderRejected(key[:60] or "document", "is given twice; keep one of them")
        content[key] = value
    return content


def _no_number(name: str) -> None:
    raise OrderRejected("document", f"is not valid JSON: {name} is not a number")
