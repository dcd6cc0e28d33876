"""`{name}` in a prompt: replaced by a value and nothing else. No expression, no format, nothing is evaluated."""

import re
from collections.abc import Callable, Iterator

from darkroom.domain.errors import OrderRejected
from darkroom.orders.document import snake_key

_PLACE = re.compile(r"\{\{|\{([^{}]*)(\}?)")


def variable_name(written: str) -> str:
    """The one spelling of a variable's name: `Product name`, `product-name` and `productName` are the same."""
    return "_".join(snake_key(written.strip()).split())


def names_in(prompt: str) -> Iterator[str]:
    """The variables that a prompt names, in their order."""
    return (variable_name(place[1]) for place in _PLACE.finditer(prompt) if place[2])


def fill(prompt: str, value_of: Callable[[str, str], str], where: str, longest: int) -> str:
    """The prompt with each `{name}` replaced; `{{` is a brace.

    Args:
        prompt: the template.
        value_of: the value of a name, which is given as it is spelled everywhere and as it was written.
        where: the field of the prompt, for a rejection.
        longest: the most characters that the result may have; more are never put together.

    Raises:
        OrderRejected: a brace is not closed, or the result is too long.
    """
    parts: list[str] = []
    at = length = 0
    for place in _PLACE.finditer(prompt):
        parts.append(prompt[at : place.start()])
        at = place.end()
        if place[0] == "{{":
            parts.append("{")
        elif not place[2]:
            character = place.start() + 1
            raise OrderRejected(where, f"has a {{ without a }} at character {character:,}; write {{{{ for a {{")
        elif not place[1].strip():
            raise OrderRejected(where, f"has a {{}} without a name at character {place.start() + 1:,}")
        else:
            parts.append(value_of(variable_name(place[1]), place[1]))
        length += len(parts[-1]) + len(parts[-2])
        if length > longest:
            raise OrderRejected(where, f"has more than {longest:,} characters with its values; shorten it")
    return "".join((*parts, prompt[at:]))
