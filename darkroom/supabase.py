"""The one client for Supabase: records and pictures go through the same connections."""

import ssl
from functools import cache

import httpx
from supabase import AsyncClient, AsyncClientOptions, acreate_client

REST_TIMEOUT = httpx.Timeout(10, connect=3, pool=5)
"""Below the 12 s that Temporal gives attach and credit, so that they see the reason rather than a time-out."""

CONNECTIONS = httpx.Limits(max_connections=20, max_keepalive_connections=20, keepalive_expiry=4)
"""Kept shorter than servers and proxies keep them, so that none is written to that the other side has closed."""


class Supabase:
    """An open client over connections of its own."""

    def __init__(self, client: AsyncClient, http: httpx.AsyncClient, url: str) -> None:
        self.client = client
        self.url = url
        self._http = http

    async def close(self) -> None:
        """Let go of the connections; twice is no harm."""
        await self._http.aclose()


async def open_supabase(url: str, service_role_key: str, timeouts: httpx.Timeout = REST_TIMEOUT) -> Supabase:
    """A client with the rights of the service role; nothing is called yet, so a wrong key shows on the first call.

    HTTP/1.1, because over HTTP/2 a connection that the server recycles fails calls that it has committed;
    no retries of the client's own, because Temporal retries and shows each one.
    """
    http = httpx.AsyncClient(verify=_trust(), http2=False, timeout=timeouts, limits=CONNECTIONS, follow_redirects=False)
    options = AsyncClientOptions(
        httpx_client=http, auto_refresh_token=False, persist_session=False, postgrest_client_retry=False
    )
    return Supabase(await acreate_client(url, service_role_key, options), http, url)


def described(error: httpx.RequestError) -> str:
    """What went wrong, for people. Only errors of sockets are quoted: others can hold our headers, and so the key."""
    quotable = isinstance(error, httpx.NetworkError | httpx.TimeoutException)
    return (" ".join(str(error).split()) if quotable else "") or type(error).__name__


@cache
def _trust() -> ssl.SSLContext:
    """Whose certificates are believed: read once a process, because it takes tens of milliseconds."""
    return httpx.create_ssl_context()
