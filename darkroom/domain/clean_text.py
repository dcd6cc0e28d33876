"""Text that others write, as it may be shown: in one line, without what moves cursors, colours or reading order."""

import re
from typing import Annotated

from pydantic import AfterValidator

_BREAKS = "\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029"
# C0 and C1 (with them ANSI and OSC sequences), embeddings and overrides of the reading order, annotations, and halves
# of characters. Joiners and marks of direction stay: words of many languages need them.
_CONTROLS = "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff"
_REFUSED = re.compile(f"[{_BREAKS}{_CONTROLS}]")
_BREAKING = re.compile(f"[{_BREAKS}]+")
_CONTROLLING = re.compile(f"[{_CONTROLS}]")
_IN_LINES = re.compile("[\r\v\f\x1c-\x1e\x85\u2028\u2029]" + f"|[{_CONTROLS}]")
_IN_JSON = re.compile(f"[\x85\u2028\u2029{_CONTROLS}]")

_MARKUP = re.compile(r"[\\`*\[\]<>&~!]|(?<![^\W_])_|_(?![^\W_])")
_FIRST = re.compile(r"^(?=[#+=-])|(?<=^\d)(?=[.)])|(?<=^\d\d)(?=[.)])")
# What a renderer takes for an address by itself; it would undo a backslash first.
_ADDRESSES = re.compile(r"(?<=:)(?=//)|(?<=[wW]{3})(?=\.)|(?<=@)")
_WORD_JOINER = "\u2060"


def one_clean_line(text: str) -> str:
    """The text in one line, without control characters and overrides of the reading order."""
    return _CONTROLLING.sub("", _BREAKING.sub(" ", text))


def clean_lines(text: str) -> str:
    """The same of text that has lines of its own, such as a traceback."""
    return _IN_LINES.sub("", text)


def as_markdown(text: str) -> str:
    """The text in one line of Markdown that shows just it: no links, images, tables, formats or HTML."""
    plain = " ".join(one_clean_line(text).replace("|", "/").split())
    escaped = _MARKUP.sub(lambda found: f"\\{found[0]}", plain)
    return _ADDRESSES.sub(_WORD_JOINER, _FIRST.sub(r"\\", escaped))


def escaped_in_json(document: str) -> str:
    """A JSON document that says the same, with what a terminal would obey written as escapes."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def refuse_unclean(text: str) -> str:
    """The text, if it may be shown as it is.

    Raises:
        ValueError: with what is wrong with it.
    """
    found = _REFUSED.search(text)
    if found is None:
        return text
    what = "a line break or tab" if _BREAKING.fullmatch(found[0]) else "a control character"
    raise ValueError(f"contains {what} (U+{ord(found[0]):04X}) at position {found.start() + 1:,}; leave it out")


CleanLine = Annotated[str, AfterValidator(refuse_unclean)]
"""A name or a reason, refused unless it may be shown as it is."""
