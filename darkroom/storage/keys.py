"""What a key may look like, in whatever it is kept."""

import re

from darkroom.domain.errors import StorageRefused

_KEY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


def checked_key(key: str) -> str:
    """The key as it is.

    Raises:
        StorageRefused: it is not one of ours, or would leave its folder.
    """
    if not _KEY.fullmatch(key) or any(part in (".", "..") for part in key.split("/")):
        raise StorageRefused(f"key {key!r} is not allowed: use letters, digits, '/', '_', '.' and '-'")
    return key
