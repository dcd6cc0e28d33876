"""Who the caller is: a Supabase access token, an API key, or the local user of this machine."""

import asyncio
import ipaddress
from datetime import timedelta
from enum import StrEnum
from time import monotonic
from typing import Any
from uuid import UUID

import jwt
import structlog
from fastapi import Request
from jwt import PyJWK, PyJWKClient, PyJWKClientConnectionError, PyJWKClientError, PyJWTError

from darkroom.api.problems import Problem, unavailable
from darkroom.domain import keys
from darkroom.domain.errors import SettingRejected
from darkroom.domain.model import Value
from darkroom.domain.wording import in_a_sentence
from darkroom.records.keys import KeyRecords
from darkroom.settings import Settings

log = structlog.get_logger(__name__)

COOKIE = "darkroom_session"
AUDIENCE = "authenticated"
"""What Supabase puts into the tokens of signed-in users."""
LEEWAY = timedelta(seconds=10)
ASYMMETRIC = ("ES256", "RS256", "EdDSA")
KEYS_FRESH_FOR = 300.0
ASK_AGAIN_AFTER = 10.0
"""Seconds before an unknown key id may cause another fetch of the project's keys: anybody can invent one."""


class SignedInBy(StrEnum):
    """How a caller is signed in."""

    LOCAL = "local"
    KEY = "key"
    TOKEN = "token"  # noqa: S105 - no secret, a kind


class Caller(Value):
    """The caller."""

    user_id: UUID
    operator: bool = False
    """Sees the jobs of all users, and statistics."""
    by: SignedInBy

    def may_see(self, owner: UUID | None) -> bool:
        """Whether something of this owner may be shown."""
        return self.operator or (owner is not None and owner == self.user_id)


class SignIn:
    """Recognises callers; made once a process."""

    def __init__(self, settings: Settings, records: KeyRecords) -> None:
        self._records = records
        self._local = None if sign_in_needed(settings) else settings.local_user
        self._host = settings.api_host
        secret = settings.supabase_jwt_secret
        self._secret = None if secret is None else secret.get_secret_value()
        self._issuer = None if settings.supabase_url is None else f"{settings.supabase_url}/auth/v1"
        jwks = settings.supabase_jwks_url or (None if self._issuer is None else f"{self._issuer}/.well-known/jwks.json")
        self._jwks = None if jwks is None else _ProjectKeys(jwks)

    @property
    def needed(self) -> bool:
        """Whether a request without a key or token is refused."""
        return self._local is None

    async def check(self) -> None:
        """Refuse to serve what nobody could sign in to, or everybody could use.

        Raises:
            SettingRejected: with what to set.
        """
        if not self.needed or self._secret or self._jwks:
            return
        if all(key.revoked_at is not None for key in await self._records.api_keys()):
            raise SettingRejected(
                f"API_HOST={self._host}: other machines can reach this address, so the API requires sign-in; create a "
                "key with `darkroom keys create`, set SUPABASE_JWT_SECRET or SUPABASE_JWKS_URL, "
                "or listen on 127.0.0.1"
            )

    async def caller(self, secret: str | None) -> Caller:
        """Whom a key or token belongs to; without one, the local user.

        Raises:
            Problem: 401.
        """
        if secret is None:
            if self._local is None:
                raise _not_signed_in("not signed in: send `Authorization: Bearer` with an access token or an API key")
            return Caller(user_id=self._local, operator=True, by=SignedInBy.LOCAL)
        if secret.startswith(keys.PREFIX):
            key = await self._records.api_key(keys.hash_of(secret))
            if key is None:
                raise _not_signed_in("this key is unknown or revoked; create a new one with `darkroom keys create`")
            return Caller(user_id=key.user_id, operator=key.operator, by=SignedInBy.KEY)
        return await self._of_token(secret)

    async def _of_token(self, token: str) -> Caller:
        try:
            algorithm = str(jwt.get_unverified_header(token).get("alg"))
            key, algorithms = await self._key_for(token, algorithm)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=AUDIENCE,
                # Who has the shared secret is the project; public keys of several projects may lie behind one address.
                issuer=self._issuer if algorithm in ASYMMETRIC else None,
                leeway=LEEWAY,
                options={"require": ["exp", "sub"]},
            )
            return Caller(user_id=UUID(str(claims["sub"])), by=SignedInBy.TOKEN)
        except (PyJWTError, ValueError) as error:
            raise _not_signed_in(f"the access token is not valid ({_reason(error)}); sign in again") from error

    async def _key_for(self, token: str, algorithm: str) -> tuple[Any, list[str]]:
        # The kind of key decides which algorithms count, never the token: a public key is no shared secret.
        if algorithm == "HS256" and self._secret is not None:
            return self._secret, ["HS256"]
        if algorithm in ASYMMETRIC and self._jwks is not None:
            key = await self._jwks.key_for(token)
            if key.algorithm_name == algorithm:
                return key.key, [algorithm]
        raise jwt.InvalidAlgorithmError(f"the algorithm {algorithm[:20]} is not accepted")


class _ProjectKeys:
    """A project's public keys, fetched when they are needed and kept a while."""

    def __init__(self, url: str) -> None:
        self._client = PyJWKClient(url, cache_jwk_set=True, lifespan=KEYS_FRESH_FOR, timeout=5)
        self._asking = asyncio.Lock()
        self._asked = -ASK_AGAIN_AFTER

    async def key_for(self, token: str) -> PyJWK:
        """The key that a token names.

        Raises:
            InvalidKeyError: the project has no such key.
            Problem: 503, its keys cannot be fetched.
        """
        kid = jwt.get_unverified_header(token).get("kid")
        async with self._asking:
            for refresh in (False, True):
                if refresh and monotonic() - self._asked < ASK_AGAIN_AFTER:
                    break
                self._asked = monotonic() if refresh else self._asked
                try:
                    found = await asyncio.to_thread(self._client.get_signing_keys, refresh)
                except PyJWKClientConnectionError as error:
                    log.warning("the project's keys cannot be fetched", reason=type(error.__cause__ or error).__name__)
                    raise unavailable("sign-in is unavailable: the project's keys could not be fetched") from error
                except PyJWKClientError:
                    found = []
                for key in found:
                    if key.key_id == kid:
                        return key
        raise jwt.InvalidKeyError("it is signed with a key unknown to the project")


def sign_in_needed(settings: Settings) -> bool:
    """Whether a request without a key or token is refused, rather than the local user's."""
    return settings.local_user is None or not is_loopback(settings.api_host)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    # A socket for both versions of IP says ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def presented(request: Request) -> str | None:
    """The key or token of a request: its header, else its cookie.

    Raises:
        Problem: 401, the header is of another kind.
    """
    header = request.headers.get("authorization")
    if header is None:
        return session_of(request)
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise _not_signed_in("the Authorization header must be `Bearer` followed by a token or key")
    return secret.strip()


def session_of(request: Request) -> str | None:
    """The session cookie; of several, the one of the longest path, which browsers send first.

    Under one host, a Darkroom at `/` and one at `/pictures` have a cookie each, and the second one is sent both.
    """
    for pair in "; ".join(request.headers.getlist("cookie")).split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value.strip('"') or None
    return None


def _not_signed_in(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="darkroom"'})


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return in_a_sentence(text[:160])
