"""Names in `Host` headers."""

from urllib.parse import urlsplit

_NOT_OF_A_HOST = frozenset("@/?#\\ \t")
"""What a name and a port never have; before an `@`, for one, stands a user, whom a URL's reader would leave out."""


def name_of(host: str) -> str:
    """The name that a `Host` header means, without its port; empty for one that means none."""
    if _NOT_OF_A_HOST & set(host):
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
