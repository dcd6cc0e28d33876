"""Lists of references as tables write them: `7, 8` for attachments, `front.jpg; back.jpg` for files."""

import re
from typing import Any

_BETWEEN_IDS = re.compile(r"[\s,;|]+")
_BETWEEN_FILES = re.compile(r"[;|\n]")
"""A file's name may have spaces and commas."""


def attachments_in(given: Any) -> Any:
    """A list of attachments from a text, an id, or a list of ids and objects; anything else as it is."""
    if isinstance(given, str):
        given = [one for one in _BETWEEN_IDS.split(given) if one]
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        given = [given]
    if not isinstance(given, list):
        return given
    return [{"attach_id": one} if isinstance(one, (int, float, str)) else one for one in given]


def files_in(given: Any) -> Any:
    """A list of names from a text; anything else as it is."""
    if isinstance(given, str):
        return [name.strip() for name in _BETWEEN_FILES.split(given) if name.strip()]
    return given
