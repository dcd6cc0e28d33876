"""How providers are reached over HTTP: a connection for each call, and settings that can belong to it."""

import re
import ssl
from datetime import timedelta
from functools import cache

import httpx2

from darkroom.domain.errors import SettingRejected
from darkroom.providers.answer_room import wait_for_room

CHECK_TIMEOUT = timedelta(seconds=10)

SPARE_CONNECTIONS = 8
"""Above the calls that run at once: one that was cancelled may still be closing its connection."""


def open_client(max_concurrent: int, headers: dict[str, str] | None = None) -> httpx2.AsyncClient:
    """A client for this many calls at once.

    It follows no redirects, which would lose the body, and has no time-out of its own: its users limit
    the whole call, waiting for a connection included.

    Every call has a connection of its own: a server that answers twice on a kept one gives the next call
    the picture of another order. A call takes 20 s, a handshake 0.1 s.
    """
    return httpx2.AsyncClient(
        verify=trust(),
        limits=httpx2.Limits(max_connections=max_concurrent + SPARE_CONNECTIONS, max_keepalive_connections=0),
        follow_redirects=False,
        timeout=None,
        headers=headers,
        event_hooks={"response": [wait_for_room]},
    )


@cache
def trust() -> ssl.SSLContext:
    """Whose certificates are believed: read once a process, because it takes tens of milliseconds."""
    return httpx2.create_ssl_context()


def describe(error: Exception) -> str:
    """An error's kind and, where it comes from a socket, its words: others can hold our headers, and so the key."""
    quotable = isinstance(error, httpx2.NetworkError | httpx2.TimeoutException) and str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}" if quotable else type(error).__name__


def checked_key(setting: str, api_key: str, source: str) -> str:
    """The key without the white space around it.

    Raises:
        SettingRejected: no key looks like this.
    """
    key = api_key.strip()
    if not re.fullmatch(r"[!-~]+", key):
        raise SettingRejected(f"{setting} is empty or contains invalid characters; copy it again from {source}")
    return key


def checked_base_url(setting: str, base_url: str, example: str) -> str:
    """The address as it is.

    Raises:
        SettingRejected: it is none, or more than the beginning of one.
    """
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", base_url):
        raise SettingRejected(f"{setting} is '{base_url}'; give a URL such as {example}, without a query")
    return base_url
