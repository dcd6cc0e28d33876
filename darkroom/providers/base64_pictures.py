"""Base64 as providers and the proxies before them send it."""

import base64
import re
from urllib.parse import unquote

_DATA_URI = re.compile(r"\s*data:[^,]{0,200};base64,", re.IGNORECASE)

_PLAIN = str.maketrans("-_", "+/", " \t\r\n\v\f")
"""From the URL-safe alphabet to the usual one, and no white space."""


def decode(text: object) -> bytes | None:
    """The bytes of base64 in either alphabet, in lines or one, padded or not, or in a `data:` URI.

    Returns:
        None for what holds no bytes or is not base64; half a picture is worth no more than none.
    """
    if not isinstance(text, str):
        return None
    uri = _DATA_URI.match(text)
    if uri:
        text = unquote(text[uri.end() :])
    plain = text.translate(_PLAIN).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True) or None
    except ValueError:
        return None
