"""API keys and sessions: each belongs to a user, and only its hash is stored."""

import hashlib
import secrets
from datetime import datetime
from uuid import UUID

from darkroom.domain.model import Value

PREFIX = "dk_"
"""What every key begins with, so that one is recognised where it does not belong."""


SESSION_PREFIX = "dks_"
"""What the secret of every session begins with; no key does."""

MOST_SESSIONS = 100
"""Sessions that a user has at once; another one ends the oldest."""


class NewApiKey(Value):
    """A key to be stored."""

    key_id: UUID
    user_id: UUID
    name: str
    operator: bool
    """Whether it sees the jobs of all users, and statistics."""
    key_hash: str


class ApiKey(Value):
    """A key as it is stored."""

    key_id: UUID
    user_id: UUID
    name: str
    operator: bool
    created_at: datetime
    revoked_at: datetime | None = None


class NewSession(Value):
    """A session to be stored."""

    session_hash: str
    user_id: UUID
    key_id: UUID | None
    """The key that it was opened with and ends with; None for one that a token opened."""
    expires_at: datetime


class Session(Value):
    """An open session."""

    user_id: UUID
    operator: bool
    """Whether its key is an operator's."""
    key_id: UUID | None
    expires_at: datetime


def new_session_secret() -> str:
    """The secret of a new session: 256 random bits."""
    return SESSION_PREFIX + secrets.token_urlsafe(32)


def new_secret() -> str:
    """A new key: 256 random bits, which cannot be guessed."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """What is kept of a key (SHA-256, hex): enough to know it again, and nothing to sign in with.

    No slow hash is needed: 256 random bits are not found by trying.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
