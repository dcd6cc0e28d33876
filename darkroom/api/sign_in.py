"""Who the caller is: a Supabase access token, an API key, a session, or the local user of this machine."""

import ipaddress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import jwt
from fastapi import Request
from jwt import PyJWTError

from darkroom.api.problems import Problem
from darkroom.api.project_keys import ProjectKeys
from darkroom.domain import keys
from darkroom.domain.errors import SettingRejected
from darkroom.domain.model import Value
from darkroom.domain.wording import in_a_sentence
from darkroom.records.keys import KeyRecords
from darkroom.settings import Settings

COOKIE = "darkroom_session"
AUDIENCE = "authenticated"
"""What Supabase puts into the tokens of signed-in users."""
LEEWAY = timedelta(seconds=10)
ASYMMETRIC = ("ES256", "RS256", "EdDSA")


class SignedInBy(StrEnum):
    """How a caller is signed in."""

    LOCAL = "local"
    KEY = "key"
    TOKEN = "token"  # noqa: S105 - no secret, a kind


class Presented(NamedTuple):
    """What a request says of its caller."""

    secret: str
    in_cookie: bool
    """A cookie holds a session, and nothing else counts there; the header holds a key or a token, and no session."""


class Caller(Value):
    """The caller."""

    user_id: UUID
    operator: bool = False
    """Sees the jobs of all users, and statistics."""
    by: SignedInBy
    proof: str | None = None
    """The hash of the key or the session, with which its end is noticed; None for tokens and the local user."""
    key_id: UUID | None = None
    expires_at: datetime | None = None
    """When the token or the session ends."""

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
        self._jwks = None if jwks is None else ProjectKeys(jwks)
        self._lifetime = timedelta(hours=settings.api_session_hours)

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

    async def caller(self, presented: Presented | None) -> Caller:
        """Whom a key, a token or a session belongs to; without one, the local user.

        Raises:
            Problem: 401.
        """
        if presented is None:
            if self._local is None:
                raise not_signed_in("not signed in: send `Authorization: Bearer` with an access token or an API key")
            return Caller(user_id=self._local, operator=True, by=SignedInBy.LOCAL)
        if presented.in_cookie:
            return await self._of_session(presented.secret)
        if presented.secret.startswith(keys.PREFIX):
            return await self._of_key(presented.secret)
        return await self._of_token(presented.secret)

    async def open_session(self, secret: str) -> str:
        """Exchange a key or a token for the secret of a session, which ends no later than the token.

        Raises:
            Problem: 401, it opens nothing.
        """
        caller = await self.caller(Presented(secret, in_cookie=False))
        ends = datetime.now(UTC) + self._lifetime
        session = keys.new_session_secret()
        await self._records.add_session(
            keys.NewSession(
                session_hash=keys.hash_of(session),
                user_id=caller.user_id,
                key_id=caller.key_id,
                expires_at=ends if caller.expires_at is None else min(ends, caller.expires_at),
            )
        )
        return session

    async def end_session(self, session: str) -> None:
        """Let a session open nothing any more."""
        await self._records.end_session(keys.hash_of(session))

    async def close(self) -> None:
        """Ask for no keys any more."""
        if self._jwks is not None:
            await self._jwks.close()

    async def _of_session(self, secret: str) -> Caller:
        proof = keys.hash_of(secret)
        # What earlier versions stored in the cookie, the key itself, is no session.
        session = await self._records.session(proof) if secret.startswith(keys.SESSION_PREFIX) else None
        if session is None:
            raise not_signed_in("your session has ended; sign in again")
        return Caller(
            user_id=session.user_id,
            operator=session.operator,
            by=SignedInBy.TOKEN if session.key_id is None else SignedInBy.KEY,
            proof=proof,
            key_id=session.key_id,
            expires_at=session.expires_at,
        )

    async def _of_key(self, secret: str) -> Caller:
        proof = keys.hash_of(secret)
        key = await self._records.api_key(proof)
        if key is None:
            raise not_signed_in("this key is unknown or revoked; ask the operator for a new one")
        return Caller(user_id=key.user_id, operator=key.operator, by=SignedInBy.KEY, proof=proof, key_id=key.key_id)

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
            return Caller(
                user_id=UUID(str(claims["sub"])),
                by=SignedInBy.TOKEN,
                expires_at=datetime.fromtimestamp(float(claims["exp"]), UTC) + LEEWAY,
            )
        except (PyJWTError, ValueError, OverflowError, OSError) as error:
            raise not_signed_in(f"the access token is not valid ({_reason(error)}); sign in again") from error

    async def _key_for(self, token: str, algorithm: str) -> tuple[Any, list[str]]:
        # The kind of key decides which algorithms count, never the token: a public key is no shared secret.
        if algorithm == "HS256" and self._secret is not None:
            return self._secret, ["HS256"]
        if algorithm in ASYMMETRIC and self._jwks is not None:
            key = await self._jwks.key_for(token)
            if key.algorithm_name == algorithm:
                return key.key, [algorithm]
        raise jwt.InvalidAlgorithmError(f"the algorithm {algorithm[:20]} is not accepted")


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


def presented(request: Request) -> Presented | None:
    """What a request says of its caller: its header if that is `Bearer`, else its session cookie.

    A header of another scheme is somebody else's, such as that of a proxy which asks for a password.

    Raises:
        Problem: 401, `Bearer` with nothing behind it.
    """
    scheme, secret = bearer_of(request.headers.get("authorization"))
    if scheme:
        if not secret:
            raise not_signed_in("the Authorization header must be `Bearer` followed by a token or key")
        return Presented(secret, in_cookie=False)
    session = session_of(request)
    return None if session is None else Presented(session, in_cookie=True)


def bearer_of(header: str | None) -> tuple[bool, str]:
    """Whether an Authorization header is `Bearer`, and what it carries."""
    scheme, _, secret = (header or "").strip().partition(" ")
    return scheme.lower() == "bearer", secret.strip()


def session_of(request: Request) -> str | None:
    """The session cookie; of several, the one of the longest path, which browsers send first.

    Under one host, a Darkroom at `/` and one at `/pictures` have a cookie each, and the second one is sent both.
    """
    for pair in "; ".join(request.headers.getlist("cookie")).split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value.strip('"') or None
    return None


def not_signed_in(detail: str) -> Problem:
    """A request of somebody who is not, or no longer, signed in."""
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="darkroom"'})


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return in_a_sentence(text[:160])
