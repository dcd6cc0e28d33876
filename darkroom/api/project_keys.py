"""A project's public keys (JWKS), with which it signs its users' tokens: fetched once for all, kept in an outage."""

import asyncio
import json
from time import monotonic
from typing import Any

import httpx
import jwt
import structlog
from jwt import PyJWK, PyJWKSet, PyJWTError

from darkroom.api.problems import unavailable

log = structlog.get_logger(__name__)

FRESH_FOR = 300.0
"""Seconds after which the keys are fetched again, while those that are known still serve."""
KEPT_FOR = 86_400.0
"""Seconds that keys serve while the key server does not answer."""
ASK_AGAIN_AFTER = 10.0
"""Seconds before an unknown key id may cause another fetch: anybody can invent one."""
PATIENCE = 5.0
"""Seconds for a whole answer of the key server."""
LARGEST = 256 * 1024
"""Bytes of an answer."""


class ProjectKeys:
    """A project's public keys.

    Who presents a known key waits for nobody. Who presents an unknown one waits for the one fetch that is in progress.

    Args:
        url: of the key set.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, PyJWK] = {}
        self._fetched: float | None = None
        self._asked: float | None = None
        self._fetching: asyncio.Task[bool] | None = None
        self._answers = True

    async def key_for(self, token: str) -> PyJWK:
        """The key that a token names.

        Raises:
            InvalidKeyError: the project has no such key.
            Problem: 503, its keys cannot be fetched.
        """
        kid = jwt.get_unverified_header(token).get("kid")
        known = self._known(kid)
        if known is not None:
            if monotonic() - (self._fetched or 0.0) > FRESH_FOR and self._may_ask():
                self._fetch()
            return known
        if self._fetching is not None or self._may_ask():
            # Shielded: one who gives up takes the fetch from nobody else.
            await asyncio.shield(self._fetch())
            known = self._known(kid)
            if known is not None:
                return known
        if not self._answers:
            raise unavailable("sign-in is temporarily unavailable; try again in a minute")
        raise jwt.InvalidKeyError("it is signed with a key unknown to the project")

    async def close(self) -> None:
        """End a fetch in progress."""
        if self._fetching is not None:
            self._fetching.cancel()

    def _known(self, kid: str | None) -> PyJWK | None:
        if self._fetched is None or monotonic() - self._fetched > KEPT_FOR:
            return None
        return self._keys.get(kid or "")

    def _may_ask(self) -> bool:
        return self._asked is None or monotonic() - self._asked >= ASK_AGAIN_AFTER

    def _fetch(self) -> "asyncio.Task[bool]":
        if self._fetching is None:
            self._asked = monotonic()
            self._fetching = asyncio.create_task(self._ask())
            self._fetching.add_done_callback(self._done)
        return self._fetching

    def _done(self, _task: "asyncio.Task[bool]") -> None:
        self._fetching = None
        # Counted from its end: a server that hangs is not asked all the time.
        self._asked = monotonic()

    async def _ask(self) -> bool:
        """Fetch the keys; whether they came."""
        try:
            async with asyncio.timeout(PATIENCE):
                self._keys = _read(await self._download())
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, TypeError, ValueError, PyJWTError) as error:
            # Only its kind: the text of a library may quote the address, with what it carries.
            log.warning("the project's keys cannot be fetched", reason=type(error).__name__)
            self._answers = False
        else:
            self._fetched, self._answers = monotonic(), True
        return self._answers

    async def _download(self) -> bytes:
        body = bytearray()
        async with (
            httpx.AsyncClient(follow_redirects=True, timeout=PATIENCE) as client,
            client.stream("GET", self._url, headers={"Accept": "application/json"}) as answer,
        ):
            answer.raise_for_status()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > LARGEST:
                    raise ValueError("the answer is too large")
        return bytes(body)


def _read(body: bytes) -> dict[str, PyJWK]:
    """The keys by their ids. Those of an unknown kind are left out, as a project may have other uses for them."""
    found: Any = json.loads(body)
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise TypeError("the answer is no key set")
    if not listed:  # of a project that signs with a shared secret
        return {}
    usable = PyJWKSet(listed).keys
    return {key.key_id: key for key in usable if key.key_id and key.public_key_use in ("sig", None)}
